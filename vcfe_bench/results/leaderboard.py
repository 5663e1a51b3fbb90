"""From records and set distances to the table that people read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins.metric import CRITERIA
from vcfe_bench.results import joined_runs
from vcfe_bench.results.cells import CALLS, RECONSTRUCTION
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.run_directory import METRICS, RECORDS, SETS, RunDirectory
from vcfe_bench.stats import intervals, significance

CSV = "leaderboard.csv"
PARTS: Mapping[str, Mapping[str, float]] = {
    "set": {"low": math.nan, "high": math.nan, "floor": math.nan, "floor_n": math.nan, RECONSTRUCTION: math.nan},
    "pair": {"low": math.nan, "high": math.nan, "n": 0},
}
"""What stands beside the value of a metric over a whole set, by its level; and what does where there is no value."""


@dataclass(frozen=True)
class Leaderboard:
    """A table with what is needed to read it.

    ``frame`` has one row per method: ``method, n, failed, skipped``, for each sample metric its mean with ``_low``,
    ``_high`` (95 % interval over videos) and ``_n``, for each set metric its value with ``_low``, ``_high``, ``_floor``
    (real against real), ``_floor_n`` and ``_reconstruction`` (the generator's D(E(x)) of as many of the same videos),
    for each pair metric its value with ``_low``, ``_high`` and ``_n``, then the costs and ``reasons``. ``metrics`` are
    the cards, ``missing`` the number of planned tasks that have not run.

    A table of several runs (``join``) has more: before ``method`` the columns ``dataset, split, target, generator,
    goals, videos, code, seed, among, runs`` and, where it divides, ``target_right`` of ``pooling.Row``, and for each
    sample metric with a direction its ``_group`` (methods that share a letter cannot be told apart) and ``_best``
    (significantly better than every other method), by the tests of ``comparison.ranks`` among rows that are equal in
    ``by``. ``notes`` say what is odd about the runs.
    """

    frame: pd.DataFrame
    metrics: list[dict[str, Any]]
    missing: int = 0
    by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load(path: Path) -> Leaderboard:
    """The leaderboard of a run directory.

    Raises:
        UsageError: not a run, or not scored yet.
    """
    store = RunDirectory(path)
    records, sets = store.table(RECORDS), store.table(SETS)
    metrics = sorted(store.json(METRICS), key=_place)
    planned = sum(len(line["tasks"]) for line in store.lines("plan"))
    order = list(store.configuration["methods"])
    return Leaderboard(build(records, sets, metrics, order), metrics, planned - len(records))


def join(
    paths: Sequence[Path],
    by: Sequence[str] = ("dataset", "target"),
    sort: str | None = None,
    among: str = joined_runs.ALL,
) -> Leaderboard:
    """One table of several runs: other methods, other seeds, other machines. ``.frame`` is a plain DataFrame.

    Rows that are equal in ``by`` (names among ``pooling.DIVISIONS``) stand together and are compared; references are
    shown but not compared. ``sort`` is a column, the better end of a metric first; by default rows stand as in the
    runs. ``among``, one of ``pooling.CHOICES``, says which counterfactuals the table rests on.

    Raises:
        UsageError: as ``pooling.read``, or no such column.
    """
    pool = joined_runs.read(paths, by, among)
    metrics = sorted(pool.metrics, key=_place)
    rows = [{**row.context, **_row(row.method, row.records, row.sets, metrics)} for row in pool.rows]
    frame = _with_reconstruction(pd.DataFrame(rows), metrics)
    sections = frame.groupby(list(by), sort=False).ngroup() if by else pd.Series(0, index=frame.index)
    for metric in metrics:
        if metric["level"] == "sample" and metric["direction"] and not metric["unavailable"]:
            ranks = _ranks(pool.rows, sections, metric)
            frame[f"{metric['name']}_group"] = [rank.group for rank in ranks]
            frame[f"{metric['name']}_best"] = [rank.best for rank in ranks]
    if sort is not None:
        frame = frame.sort_values(sort, ascending=_ascending(sort, frame, metrics), kind="stable")
    order = sections[frame.index].sort_values(kind="stable").index
    return Leaderboard(frame.loc[order].reset_index(drop=True), metrics, pool.missing, tuple(by), pool.notes)


def _ranks(rows: Sequence[joined_runs.Row], sections: pd.Series, metric: Mapping[str, Any]) -> list[significance.Rank]:
    ranks = [significance.Rank()] * len(rows)
    for section in sections.unique():
        places = [p for p, row in enumerate(rows) if sections[p] == section and row.method not in REFERENCES]
        found = significance.ranks([rows[p].method for p in places], [rows[p].records for p in places], metric)
        for place, rank in zip(places, found, strict=True):
            ranks[place] = rank
    return ranks


def _ascending(column: str, frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> bool:
    if column not in frame:
        raise UsageError(f"there is no column '{column}' to sort by; {nearest(column, map(str, frame))}")
    return not any(metric["name"] == column and metric["direction"] == "higher" for metric in metrics)


def write(store: RunDirectory) -> Leaderboard:
    """Bring ``leaderboard.csv`` up to the records."""
    board = load(store.path)
    store.put_table(CSV, board.frame)
    return board


def build(records: pd.DataFrame, sets: pd.DataFrame, metrics: list[dict[str, Any]], order: list[str]) -> pd.DataFrame:
    """The table of ``Leaderboard.frame``, rows in ``order``."""
    rows = [_row(method, records[records["method"] == method], sets, metrics) for method in order]
    return _with_reconstruction(pd.DataFrame(rows), metrics)


def _with_reconstruction(frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> pd.DataFrame:
    """The table with the generator's floor of each set metric: the row of D(E(x)) over as many of the same videos."""
    same = [name for name in (*joined_runs.DIVISIONS, joined_runs.AMONG, "n") if name in frame]
    floors = frame[frame["method"] == RECONSTRUCTION].drop_duplicates(same).set_index(same)
    places = pd.MultiIndex.from_frame(frame[same]) if len(same) > 1 else pd.Index(frame["n"])
    for metric in metrics:
        if metric["level"] == "set":
            frame[f"{metric['name']}_{RECONSTRUCTION}"] = floors[metric["name"]].reindex(places).to_numpy(float)
    return frame


def _row(method: str, records: pd.DataFrame, sets: pd.DataFrame, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    done = records[records["status"] == "ok"]
    row: dict[str, Any] = {"method": method, "n": len(done)}
    row |= {status: int((records["status"] == status).sum()) for status in ("failed", "skipped")}
    for metric in metrics:
        if metric["level"] == "sample":
            row |= _mean(done, method, metric)
        elif metric["level"] in PARTS:
            row |= _whole(sets, method, metric)
    row["seconds"] = done["seconds"].mean()
    row |= {name: done[name].mean() for name in map(str, done) if name.startswith(CALLS)}
    row["peak_memory_mb"] = done["peak_memory_mb"].max()
    reasons = records.loc[records["reason"] != "", "reason"].value_counts()
    row["reasons"] = "; ".join(f"{reason} ({count}×)" for reason, count in reasons.items())
    return row


def _mean(done: pd.DataFrame, method: str, metric: Mapping[str, Any]) -> dict[str, float]:
    name = metric["name"]
    values = done[name].to_numpy(float) if name in done else [math.nan] * len(done)
    interval = intervals.rate_interval if metric["unit"] == "rate" else intervals.mean_interval
    found = interval(values, list(done["sample"]), seeds.derive(method, name))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_n": found.n}


def _whole(sets: pd.DataFrame, method: str, metric: Mapping[str, Any]) -> dict[str, float]:
    name = metric["name"]
    found = sets[(sets["method"] == method) & (sets["metric"] == name)]
    values: dict = found.iloc[0].to_dict() if len(found) else {}
    row = {name: values.get("value", math.nan)}
    return row | {f"{name}_{part}": values.get(part, absent) for part, absent in PARTS[metric["level"]].items()}


def _place(metric: Mapping[str, Any]) -> tuple[int, bool, bool, str]:
    """Sort key: by criterion, rates first, what is neither good nor bad last."""
    criterion = metric.get("criterion")
    place = CRITERIA.index(criterion) if criterion in CRITERIA else len(CRITERIA)
    return place, metric.get("unit") != "rate", metric.get("direction") is None, metric["name"].lower()


def notes(board: Leaderboard) -> Iterator[str]:
    """What a reader has to know about the numbers of a table."""
    frame = board.frame
    yield (
        "[low, high]: 95 % interval over videos. floor: real videos against other real videos at the same n. D(E(x)): "
        "originals against their own reconstructions by the generator, at the same n."
    )
    if board.missing:
        yield f"{board.missing} planned tasks have not run yet: run the same command again."
    for _, row in frame.iterrows():
        if row["reasons"]:
            yield f"{row['method']}: {row['failed']} failed, {row['skipped']} skipped: {row['reasons']}"
    for metric in board.metrics:
        if metric["unavailable"]:
            yield f"{metric['name']} is empty: {metric['unavailable']}"
        elif metric["problems"]:
            yield f"{metric['name']} {metric['problems']}"
        elif metric["level"] == "set" and (fewest := frame.loc[frame[metric["name"]].notna(), "n"].min()) < (
            wanted := metric["min_samples"]
        ):
            yield (
                f"{metric['name']} is biased at this n: {fewest:,} videos are fewer than the {wanted:,} from which on "
                "the covariance of its features has full rank. Read it against its floor only."
            )
