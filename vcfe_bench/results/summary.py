"""The one short table that a run ends with: flips, meaning, closeness, realism and cost, one row per method.

The same rows and columns head the report, the notebook and the step summary of a CI job.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.core.text import printable
from vcfe_bench.plugins import metric_names
from vcfe_bench.plugins.terms import CRITERIA
from vcfe_bench.results.cells import MISSING, Cell
from vcfe_bench.results.grid import Column, Grid, distinguishing
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.rows import ALL, FLIPPED_BY_ALL
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard

FAMILIES = (
    ("FR", ("FR",)),
    ("MAE", ("MAE",)),
    ("R²", ("R2",)),
    ("semFR", ("semantic_FR",)),
    ("valid", ("valid_share",)),
    ("neg@1", ("negative_class@1",)),
    ("concept", ("concept@1",)),
    ("drop", ("positive_drop",)),
    ("SSIM", ("SSIM",)),
    ("LPIPS", ("LPIPS(alex)", "LPIPS(vgg)", "LPIPS(st-alex)")),
    ("FID", ("FID(inception)", "FID(st-vgg)")),
    ("FVD", ("FVD(i3d)",)),
)
"""Titles of the summary and the metrics that may stand below them: the first that has a value."""
FEWEST = 3
"""With fewer of these, metrics of other names are shown, too, as for plug-ins that bring their own."""
STAND_IN = "(st-"
STAR = "*"
NOT_COMPARABLE = "Small stand-in network, not comparable with papers."
ANSWERED, CALLS, SECONDS = "n", "calls", "s/video"
_FRAME = {ANSWERED: "answered", SECONDS: "seconds"}
"""Columns of ``Leaderboard.frame`` that have other names in the summary."""


@dataclass(frozen=True)
class Summary:
    """A short table.

    Attributes:
        title: what the rows have in common: dataset, target, number of videos, seed.
        columns: ``method`` first, then metrics and costs in reading order; ``title`` is what heads a column.
        methods: rows of the methods, cells in the order of ``columns``.
        references: rows of the reference methods and, below them, the noise floor, where there is one.
        notes: short sentences below the table.
        priority: places of ``columns`` in the order in which a narrow terminal keeps them.
        sources: the columns of ``Leaderboard.frame`` that the numbers come from.
    """

    title: str
    columns: tuple[Column, ...]
    methods: tuple[tuple[Cell, ...], ...]
    references: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    priority: tuple[int, ...]
    sources: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The table for the writers of Markdown, LaTeX and HTML; references follow the methods."""
        return Grid(self.title, self.columns, (*self.methods, *self.references))

    def frame(self) -> pd.DataFrame:
        """The table as text, indexed by method."""
        names = [column.name + column.mark for column in self.columns]
        texts = [[cell.text for cell in row] for row in (*self.methods, *self.references)]
        return pd.DataFrame(texts, columns=names).set_index(names[0])


@dataclass(frozen=True)
class Shown:
    """A column of the summary: its head, and the metric below it; None for costs and counts."""

    column: Column
    card: ScoredCard | None = None


def summaries(
    board: Leaderboard, chosen: Sequence[str] = (), intervals: bool = False, hint: str = ""
) -> Iterator[Summary]:
    """One summary for each division of a leaderboard; a single one for one run.

    Args:
        board: the leaderboard of one run or of several joined runs.
        chosen: columns instead of the usual ones: names or families of metrics, ``n``, ``calls``, ``s/video`` or
            another column of ``board.frame``.
        intervals: with 95 % intervals.
        hint: the last note, for example the command that makes a report.

    Raises:
        UsageError: there is no such column.
    """
    frame = board.frame
    divisions = frame.groupby(list(board.by), sort=False) if board.by else [((), frame)]
    for number, (values, whole) in enumerate(divisions):
        section = _with_answers(whole)
        shown = _chosen(board, section, chosen) if chosen else list(_usual(board, section))
        title = _title(dict(zip(board.by, map(str, values), strict=True)), section) if board.by else board.subject
        names = distinguishing(section, board.by)
        rows = {place: _row(row, shown, names, intervals) for place, row in section.iterrows()}
        is_reference = section["method"].isin(REFERENCES)
        floor = _floor(section, shown)
        yield Summary(
            title,
            (Column("method", "identity"), *(one.column for one in shown)),
            tuple(rows[place] for place in section.index[~is_reference]),
            (*(rows[place] for place in section.index[is_reference]), *floor),
            (*_restriction(board, whole, number), *_notes(board, whole, shown, hint)),
            _priority(shown, bool(chosen)),
            tuple(one.card.name if one.card else _FRAME.get(one.column.name, one.column.name) for one in shown),
        )


def _with_answers(section: pd.DataFrame) -> pd.DataFrame:
    """The rows, without those of reference methods that declined every video: a note says why they did."""
    kept = (section["n"] > 0) | ~section["method"].isin(REFERENCES)
    return section[kept] if kept.any() else section


def _title(values: dict[str, str], section: pd.DataFrame) -> str:
    videos = ", ".join(f"{count} videos" for count in section["videos"].unique()) if "videos" in section else ""
    seeds = " / ".join(dict.fromkeys(map(str, section["seed"]))) if "seed" in section and "seed" not in values else ""
    plain = [value if name in ("dataset", "target") else f"{name} {value}" for name, value in values.items()]
    return " · ".join(filter(None, (*plain, videos if "videos" not in values else "", seeds and f"seed {seeds}")))


def _usual(board: Leaderboard, section: pd.DataFrame) -> Iterator[Shown]:
    cards = {card.name: card for card in board.metrics if card.name in section and section[card.name].notna().any()}
    if (section["answered"] != section["n"]).any() or section["n"].nunique() > 1:
        yield Shown(Column(ANSWERED, "number"))
    found = [(title, next((cards[name] for name in names if name in cards), None)) for title, names in FAMILIES]
    known = [(title, card) for title, card in found if card is not None]
    for title, card in known:
        yield _metric(card, title)
    if len(known) < FEWEST:
        taken = {card.name for _, card in known}
        others = [card for card in cards.values() if card.name not in taken and card.direction]
        for card in sorted(others, key=lambda card: CRITERIA.index(card.criterion) if card.criterion else 0):
            yield _metric(card, card.name)
    yield from (Shown(Column(name, "number")) for name in (CALLS, SECONDS))


def _metric(card: ScoredCard, title: str) -> Shown:
    return Shown(Column(title, "metric", card.direction, STAR if STAND_IN in card.name else ""), card)


def _chosen(board: Leaderboard, section: pd.DataFrame, words: Sequence[str]) -> list[Shown]:
    cards = {card.name: card for card in board.metrics if card.name in section}
    shown: list[Shown] = []
    for word in words:
        if word in (ANSWERED, CALLS, SECONDS) or (word in section and word not in cards and word != "method"):
            shown.append(Shown(Column(word, "number")))
            continue
        try:
            names = metric_names.matching(word, cards)
        except UsageError:
            known = {*cards, ANSWERED, CALLS, SECONDS, *metric_names.FAMILIES, metric_names.ALL}
            raise UsageError(f"there is no column '{word}'; {nearest(word, known)}") from None
        shown += [_metric(cards[name], name) for name in names]
    return list({one.column.name: one for one in shown}.values())


def _row(row: pd.Series, shown: Sequence[Shown], names: Sequence[str], intervals: bool) -> tuple[Cell, ...]:
    extra = [f"{name} {row[name]}" for name in names]
    label = f"{row['method']} ({', '.join(extra)})" if extra else str(row["method"])
    return (Cell(printable(label)), *(_cell(row, one, intervals) for one in shown))


def _cell(row: pd.Series, shown: Shown, intervals: bool) -> Cell:
    name = shown.column.name
    if shown.card is not None:
        return _metric_cell(row, shown.card, intervals)
    if name == ANSWERED:
        return Cell(f"{row['answered']}/{row['n']}")
    if name == CALLS:
        return Cell(_count(float(row["calls"])) if "calls" in row else MISSING)
    if name == SECONDS:
        return Cell(_seconds(float(row["seconds"])) if "seconds" in row else MISSING)
    value = row[name]
    return Cell(_count(value) if isinstance(value, float) else str(value) or MISSING)


def _metric_cell(row: pd.Series, card: ScoredCard, intervals: bool) -> Cell:
    value = float(row[card.name])
    if math.isnan(value):
        return Cell(MISSING)
    low, high = (float(row.get(f"{card.name}_{end}", math.nan)) for end in ("low", "high"))
    interval = "" if math.isnan(low) or not intervals else f"[{_bound(low, card)}, {_bound(high, card)}]"
    return Cell(short(value, card), interval, best=bool(row.get(f"{card.name}_best", False)))


def short(value: float, card: ScoredCard) -> str:
    """A value of a metric with the digits that a summary shows: rates two, distances of sets none from 10 on.

    A rate that is not 0 or 1 is never rounded to it.
    """
    if card.unit == "rate":
        rounded = f"{value:.2f}"
        return f"{value:.4f}" if rounded in ("0.00", "1.00") and value not in (0.0, 1.0) else rounded
    if card.level == "set":
        return _count(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _bound(value: float, card: ScoredCard) -> str:
    return f"{value:.2f}" if card.unit == "rate" else short(value, card)


def _count(value: float) -> str:
    if math.isnan(value):
        return MISSING
    whole = abs(value) >= 10 or round(value, 1) == round(value)
    return f"{value:,.0f}" if whole else f"{value:.1f}"


def _seconds(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _floor(section: pd.DataFrame, shown: Sequence[Shown]) -> list[tuple[Cell, ...]]:
    """The row with distances between sets of real videos, if any metric has one."""
    cells, counts = [], []
    for one in shown:
        name = f"{one.card.name}_floor" if one.card is not None and one.card.level == "set" else ""
        known = section[name].dropna() if name in section else pd.Series(dtype=float)
        if one.card is None or known.empty or one.card.unbiased:
            cells.append(Cell(""))
            continue
        cells.append(Cell(short(float(known.iloc[0]), one.card)))
        number = section.get(f"{name}_n", pd.Series(dtype=float)).dropna()
        counts += [int(number.iloc[0])] if len(number) else []
    if not any(cell.value for cell in cells):
        return []
    size = f", n={counts[0]}" if counts else ""
    return [(Cell(f"floor (real vs real{size})"), *cells)]


def _restriction(board: Leaderboard, section: pd.DataFrame, number: int) -> tuple[str, ...]:
    """The note, first among those of the board, on the counterfactuals that a division is restricted to."""
    among = section["among"].iloc[0] if "among" in section else ALL
    place = number if among == FLIPPED_BY_ALL else 0
    return () if among == ALL else board.notes[place : place + 1]


def _notes(board: Leaderboard, section: pd.DataFrame, shown: Sequence[Shown], hint: str) -> Iterator[str]:
    if board.missing:
        yield f"{board.missing} planned tasks have not run yet: run the same command again to resume."
    for _, row in section.iterrows():
        counts = [f"{row[name]} {name}" for name in ("failed", "skipped", "declined") if row.get(name, 0)]
        if counts:
            yield printable(f"{row['method']}: {', '.join(counts)}: {str(row['reasons']).partition('; ')[0]}")
    few = [one.column.name for one in shown if one.card is not None and _too_few(section, one.card)]
    standing_in = any(one.column.mark == STAR for one in shown)
    missing = sum(1 for card in board.metrics if card.unavailable)
    yield " ".join(
        filter(
            None,
            (
                f"Too few videos for {' and '.join(few)}." if few else "",
                f"{STAR} {NOT_COMPARABLE[0].lower()}{NOT_COMPARABLE[1:]}" if standing_in else "",
                f"{missing} {'metric' if missing == 1 else 'metrics'} not available: --why." if missing else "",
                f"{len(board.notes)} {'note' if len(board.notes) == 1 else 'notes'}: --why." if board.notes else "",
                "All: --full.",
            ),
        )
    )
    if hint:
        yield hint


def _too_few(section: pd.DataFrame, card: ScoredCard) -> bool:
    if card.level != "set" or f"{card.name}_n" not in section:
        return False
    fewest = section.loc[section[card.name].notna(), f"{card.name}_n"].min()
    return bool(fewest < card.min_samples)


def _priority(shown: Sequence[Shown], asked: bool) -> tuple[int, ...]:
    """Columns that were asked for are kept from the left; of the usual ones, cost goes first, then realism."""
    places = {one.column.name: place for place, one in enumerate(shown, 1)}
    if asked:
        return (0, *places.values())
    first = ("n", "FR", "MAE", "semFR", "valid", "SSIM", CALLS, "LPIPS", "R²", "FVD", "neg@1", "concept", "drop", "FID")
    ordered = [places[name] for name in first if name in places]
    return (0, *ordered, *(place for place in places.values() if place not in ordered))
