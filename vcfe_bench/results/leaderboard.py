"""From records and distances between sets to the table that people read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins.terms import CRITERIA
from vcfe_bench.results import joined_runs
from vcfe_bench.results.rows import ALL, DIVISIONS, asked
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RECORDS, SETS, RunDirectory
from vcfe_bench.stats import intervals, significance

CSV = "leaderboard.csv"
RECONSTRUCTION = "reconstruction"
"""The reference method that only encodes and decodes."""
PARTS: Mapping[str, Mapping[str, float]] = {
    "set": {
        "low": math.nan,
        "high": math.nan,
        "n": 0,
        "floor": math.nan,
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
    real videos), ``_floor_n`` and ``_reconstruction`` (the value of the row ``reconstruction`` for as many of the same
    videos), for each pair metric its value with ``_low``, ``_high`` and ``_n``, then the costs and ``reasons``.

    A table of several runs (``join``) has further columns: before ``method`` those of ``rows.Context``, and for each
    sample metric with a direction its ``_group`` (methods that share a letter are not distinguishable) and ``_best``
    (significantly better than every other method), by the tests of ``significance.ranks`` among rows that are equal in
    ``by``.

    Attributes:
        frame: the table.
        metrics: the cards of the metrics, in the order of the columns.
        missing: the number of planned tasks that have not run.
        by: the columns that divide a table of several runs.
        notes: what a reader should know about the runs.
    """

    frame: pd.DataFrame
    metrics: tuple[ScoredCard, ...]
    missing: int = 0
    by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
    records, sets = store.table(RECORDS), store.table(SETS)
    metrics = _in_order(joined_runs.scored_cards(store))
    frame = build(records, sets, metrics, list(store.configuration.methods))
    return Leaderboard(frame, metrics, joined_runs.missing_tasks(store, records))


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
    requested = [(row.method, asked(row.records, metrics)) for row in joined.rows]
    sections = frame.groupby(list(by), sort=False).ngroup() if by else pd.Series(0, index=frame.index)
    for card in metrics:
        if card.level == "sample" and card.direction and not card.unavailable:
            ranks = _ranks(requested, sections, card.name, card.direction)
            frame[f"{card.name}_group"] = [rank.group for rank in ranks]
            frame[f"{card.name}_best"] = [rank.best for rank in ranks]
    if sort is not None:
        frame = frame.sort_values(sort, ascending=_ascending(sort, frame, metrics), kind="stable")
    order = sections[frame.index].sort_values(kind="stable").index
    return Leaderboard(frame.loc[order].reset_index(drop=True), metrics, joined.missing, tuple(by), joined.notes)


def write(store: RunDirectory) -> Leaderboard:
    """Bring ``leaderboard.csv`` up to the records."""
    board = load(store.path)
    store.put_table(CSV, board.frame)
    return board


def build(
    records: pd.DataFrame, sets: pd.DataFrame, metrics: Sequence[ScoredCard], order: Sequence[str]
) -> pd.DataFrame:
    """``Leaderboard.frame`` for the methods ``order`` of one run."""
    rows = [_row(method, records[records["method"] == method], sets, metrics) for method in order]
    return _with_reconstruction(pd.DataFrame(rows), metrics)


def _ranks(
    rows: Sequence[tuple[str, pd.DataFrame]], sections: pd.Series, metric: str, direction: significance.Direction
) -> list[significance.Rank]:
    ranks = [significance.Rank()] * len(rows)
    for section in sections.unique():
        places = [p for p, (method, _) in enumerate(rows) if sections[p] == section and method not in REFERENCES]
        methods, records = [rows[p][0] for p in places], [rows[p][1] for p in places]
        for place, rank in zip(places, significance.ranks(methods, records, metric, direction), strict=True):
            ranks[place] = rank
    return ranks


def _ascending(column: str, frame: pd.DataFrame, metrics: Sequence[ScoredCard]) -> bool:
    if column not in frame:
        raise UsageError(f"there is no column '{column}' to sort by; {nearest(column, map(str, frame))}")
    return not any(card.name == column and card.direction == "higher" for card in metrics)


def _with_reconstruction(frame: pd.DataFrame, metrics: Sequence[ScoredCard]) -> pd.DataFrame:
    """The table with, for each set metric, its value for the reconstructions of as many of the same videos."""
    for card in metrics:
        if card.level == "set":
            same = [name for name in (*DIVISIONS, "among", f"{card.name}_n") if name in frame]
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
    for card in metrics:
        if card.level == "sample":
            row |= _mean(requested, method, card)
        elif card.level is not None:
            row |= _whole(sets, method, card.name, PARTS[card.level])
    row["seconds"] = done["seconds"].mean()
    row["calls"] = done["calls"].mean() if "calls" in done else math.nan
    row["peak_memory_mb"] = done["peak_memory_mb"].max()
    reasons = records.loc[records["reason"] != "", "reason"].value_counts()
    row["reasons"] = "; ".join(f"{reason} ({count}×)" for reason, count in reasons.items())
    return row


def _mean(requested: pd.DataFrame, method: str, card: ScoredCard) -> dict[str, float]:
    name = card.name
    values = requested[name].to_numpy(float).tolist() if name in requested else [math.nan] * len(requested)
    interval = intervals.rate_interval if card.unit == "rate" else intervals.mean_interval
    mean = interval(values, list(requested["sample"]), seeds.derive(method, name))
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high, f"{name}_n": mean.n}


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
