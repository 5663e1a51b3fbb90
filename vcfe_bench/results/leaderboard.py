"""From records and distances between sets to the table that people read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins.terms import CRITERIA
from vcfe_bench.results import comparison, joined_runs
from vcfe_bench.results.comparison import Section
from vcfe_bench.results.means import mean_columns, videos_of
from vcfe_bench.results.rows import ALL, BUDGET, DIVISIONS, Row, asked
from vcfe_bench.runs import tables
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory

CSV = "leaderboard.csv"
OUTPUTS = ("before", "after")
"""Columns of records with the raw outputs of the target, which no table shows."""
RECONSTRUCTION = "reconstruction"
"""The reference method that only encodes and decodes."""
PARTS: Mapping[str, Mapping[str, float]] = {
    "set": {
        "low": math.nan,
        "high": math.nan,
        "n": 0,
        "floor": math.nan,
        "floor_sd": math.nan,
        "floor_n": math.nan,
        RECONSTRUCTION: math.nan,
    },
    "pair": {"low": math.nan, "high": math.nan, "n": 0},
}
"""Columns that go with the value of a metric over a whole set, by its level, with their defaults."""


@dataclass(frozen=True)
class Leaderboard:
    """A table with what is needed to read it.

    ``frame`` has one row per method: ``method``, ``n`` (tasks that the method was asked), ``answered`` (those with a
    counterfactual), ``failed``, ``skipped`` (given up during the run), ``declined`` (before the run, not among ``n``),
    for each sample metric its mean with ``_low``, ``_high`` (95 % interval over videos) and ``_n`` (the tasks that it
    is a mean of), for each set metric its value with ``_low``, ``_high``, ``_n``, ``_floor`` (real videos against other
    real videos), ``_floor_sd`` (how much a single such distance varies), ``_floor_n`` and ``_reconstruction`` (the
    value of the row ``reconstruction`` for as many of the same videos), for each pair metric its value with ``_low``,
    ``_high`` and ``_n``, then the costs (``seconds`` of answered tasks, ``calls`` of all that were asked), ``reasons``.

    A table of several runs (``join``) has further columns: before ``method`` those of ``rows.Context``, and for each
    sample metric with a direction its ``_group`` (methods that share a letter are not distinguishable) and ``_best``
    (significantly better than every other method), by the tests of ``significance.ranks`` among rows that are equal in
    ``by``. Metrics over flips also have a mean over the questions that all methods flipped, ``_flipped_by_all`` with
    ``_flipped_by_all_low``, ``_high`` and ``_n``.

    Attributes:
        frame: the table.
        metrics: the cards of the metrics, in the order of the columns.
        missing: the number of planned tasks that have not run.
        by: the columns that divide a table of several runs.
        notes: what a reader should know about the runs.
        subject: what all rows of a table of one run have in common, in a few words.
    """

    frame: pd.DataFrame
    metrics: tuple[ScoredCard, ...]
    missing: int = 0
    by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    subject: str = ""

    @property
    def compared(self) -> bool:
        """Whether methods were tested against each other."""
        return any(str(name).endswith("_group") for name in self.frame)


def load(path: Path) -> Leaderboard:
    """The leaderboard of a run directory.

    Raises:
        UsageError: not a run, or not scored yet.
    """
    store = RunDirectory(path)
    return of(store, tables.read_records(store, OUTPUTS))


def of(store: RunDirectory, records: pd.DataFrame) -> Leaderboard:
    """The leaderboard of an open run with these ``records``.

    Raises:
        UsageError: it is not scored yet.
    """
    sets = tables.read_sets(store)
    metrics = _in_order(tables.read_cards(store))
    frame = build(records, sets, metrics, list(store.configuration.methods))
    missing = joined_runs.missing_tasks(store, records)
    return Leaderboard(frame, metrics, missing, notes=store.dataset_notes(), subject=_subject(store.configuration))


def _subject(made: Configuration) -> str:
    """Dataset, target, number of videos and seed, and the split where it is not the test split."""
    split = "" if made.split == "test" else f"{made.split} split"
    parts = (made.dataset, made.target.spec, f"{made.limit} videos", split, f"seed {made.seed}")
    return " · ".join(filter(None, parts))


def join(
    paths: Sequence[Path],
    by: Sequence[str] = ("dataset", "target"),
    sort: str | None = None,
    among: str = ALL,
) -> Leaderboard:
    """One table of several runs, for example of other methods, with other seeds or from other machines.

    Args:
        by: names among ``rows.DIVISIONS``. Rows that are equal in these stand together, and their methods are compared;
            reference methods are shown but not compared.
        sort: a column; the better end of a metric comes first. By default rows are in the order of the runs.
        among: one of ``rows.CHOICES``, the counterfactuals that the table is restricted to.

    Raises:
        UsageError: as ``joined_runs.read``, or no such column.
    """
    joined = joined_runs.read(paths, by, among)
    metrics = _in_order(joined.metrics)
    frame = pd.DataFrame(
        [{**row.context.columns(), **_row(row.method, row.records, row.sets, metrics)} for row in joined.rows]
    )
    frame = _with_reconstruction(frame, metrics)
    sections = _sections(frame, joined.rows, by, metrics)
    compared = comparison.columns(sections, metrics, among == ALL)
    notes = (*joined.notes, *comparison.notes(sections, compared, metrics))
    frame = pd.concat([frame, compared], axis=1)
    if sort is not None:
        frame = frame.sort_values(sort, ascending=_ascending(sort, frame, metrics), kind="stable")
    ranks = {place: number for number, section in enumerate(sections) for place in section.places}
    order = sorted(frame.index, key=ranks.__getitem__)
    return Leaderboard(frame.loc[order].reset_index(drop=True), metrics, joined.missing, tuple(by), notes)


def write(store: RunDirectory) -> Leaderboard:
    """Bring ``leaderboard.csv`` up to the records."""
    board = of(store, tables.read_records(store, OUTPUTS))
    store.put_table(CSV, board.frame)
    return board


def build(
    records: pd.DataFrame, sets: pd.DataFrame, metrics: Sequence[ScoredCard], order: Sequence[str]
) -> pd.DataFrame:
    """``Leaderboard.frame`` for the methods ``order`` of one run."""
    rows = [_row(method, records[records["method"] == method], sets, metrics) for method in order]
    return _with_reconstruction(pd.DataFrame(rows), metrics)


def _sections(
    frame: pd.DataFrame, rows: Sequence[Row], by: Sequence[str], metrics: Sequence[ScoredCard]
) -> list[Section]:
    """The rows that are equal in ``by``, in the order of the table."""
    groups = [part.index for _, part in frame.groupby(list(by), sort=False)] if by else [frame.index]
    return [
        Section(
            ", ".join(f"{name} {frame.loc[places[0], name]}" for name in by) if len(groups) > 1 else "",
            tuple(places),
            tuple((rows[place].method, asked(rows[place].records, metrics)) for place in places),
        )
        for places in groups
    ]


def _ascending(column: str, frame: pd.DataFrame, metrics: Sequence[ScoredCard]) -> bool:
    if column not in frame:
        raise UsageError(f"there is no column '{column}' to sort by; {nearest(column, map(str, frame))}")
    return not any(card.name == column and card.direction == "higher" for card in metrics)


def _with_reconstruction(frame: pd.DataFrame, metrics: Sequence[ScoredCard]) -> pd.DataFrame:
    """The table with, for each set metric, its value for the reconstructions of as many of the same videos."""
    for card in metrics:
        if card.level == "set":
            same = [name for name in (*DIVISIONS, "among", f"{card.name}_n") if name in frame and name != BUDGET]
            floors = frame[frame["method"] == RECONSTRUCTION].drop_duplicates(same).set_index(same)
            places = pd.MultiIndex.from_frame(frame[same]) if len(same) > 1 else pd.Index(frame[same[0]])
            frame[f"{card.name}_{RECONSTRUCTION}"] = floors[card.name].reindex(places).to_numpy(float)
    return frame


def _row(
    method: str, records: pd.DataFrame, sets: pd.DataFrame, metrics: Sequence[ScoredCard]
) -> dict[str, str | float]:
    done, requested = records[records["status"] == "ok"], asked(records, metrics)
    row: dict[str, str | float] = {"method": method, "n": len(requested), "answered": len(done)}
    row |= {status: int((requested["status"] == status).sum()) for status in ("failed", "skipped")}
    row["declined"] = len(records) - len(requested)
    videos = videos_of(requested)
    for card in metrics:
        if card.level == "sample":
            row |= mean_columns(requested, videos, card, card.name)
        elif card.level is not None:
            row |= _whole(sets, method, card.name, PARTS[card.level])
    row["seconds"] = done["seconds"].mean()
    row["calls"] = requested["calls"].mean() if "calls" in requested else math.nan
    row["peak_memory_mb"] = done["peak_memory_mb"].max()
    reasons = records.loc[records["reason"] != "", "reason"].value_counts()
    row["reasons"] = "; ".join(f"{reason} ({count}×)" for reason, count in reasons.items())
    return row


def _whole(sets: pd.DataFrame, method: str, metric: str, parts: Mapping[str, float]) -> dict[str, float]:
    rows = sets[(sets["method"] == method) & (sets["metric"] == metric)].to_dict("records")
    values = rows[0] if rows else {}
    row = {metric: values.get("value", math.nan)}
    return row | {f"{metric}_{part}": values.get(part, absent) for part, absent in parts.items()}


def _in_order(metrics: Iterable[ScoredCard]) -> tuple[ScoredCard, ...]:
    """By criterion; rates first, metrics without a direction last."""

    def key(card: ScoredCard) -> tuple[int, bool, bool, str]:
        place = CRITERIA.index(card.criterion) if card.criterion else len(CRITERIA)
        return place, card.unit != "rate", card.direction is None, card.name.lower()

    return tuple(sorted(metrics, key=key))
