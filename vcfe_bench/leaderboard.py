"""From records and set distances to the table that people read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vcfe_bench import comparison, pooling, seeds, statistics
from vcfe_bench.errors import UsageError, nearest
from vcfe_bench.interfaces import Criterion
from vcfe_bench.records import RECORDS
from vcfe_bench.request import REFERENCES
from vcfe_bench.scoring import METRICS, SETS
from vcfe_bench.store import Store

CSV = "leaderboard.csv"
METHOD_WIDTH = 32
"""Longer specs are folded."""
TITLE_WIDTH = 12
"""Longer names of metrics are broken at their underscores."""
ABREAST = 4
"""Metrics side by side in a terminal of 80 columns."""
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
CALLS = "evaluations_"
RECONSTRUCTION = "reconstruction"
"""The reference that is the generator's floor."""
PARTS: Mapping[str, Mapping[str, float]] = {
    "set": {"low": math.nan, "high": math.nan, "floor": math.nan, "floor_n": math.nan, RECONSTRUCTION: math.nan},
    "pair": {"low": math.nan, "high": math.nan, "n": 0},
}
"""What stands beside the value of a metric over a whole set, by its level; and what does where there is no value."""
CRITERIA: tuple[str, ...] = get_args(Criterion)


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
    store = Store(path)
    records, sets = store.table(RECORDS), store.table(SETS)
    metrics = sorted(store.json(METRICS), key=_place)
    planned = sum(len(line["tasks"]) for line in store.lines("plan"))
    order = list(store.configuration["methods"])
    return Leaderboard(build(records, sets, metrics, order), metrics, planned - len(records))


def join(
    paths: Sequence[Path],
    by: Sequence[str] = ("dataset", "target"),
    sort: str | None = None,
    among: str = pooling.ALL,
) -> Leaderboard:
    """One table of several runs: other methods, other seeds, other machines. ``.frame`` is a plain DataFrame.

    Rows that are equal in ``by`` (names among ``pooling.DIVISIONS``) stand together and are compared; references are
    shown but not compared. ``sort`` is a column, the better end of a metric first; by default rows stand as in the
    runs. ``among``, one of ``pooling.CHOICES``, says which counterfactuals the table rests on.

    Raises:
        UsageError: as ``pooling.read``, or no such column.
    """
    pool = pooling.read(paths, by, among)
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


def _ranks(rows: Sequence[pooling.Row], sections: pd.Series, metric: Mapping[str, Any]) -> list[comparison.Rank]:
    ranks = [comparison.Rank()] * len(rows)
    for section in sections.unique():
        places = [p for p, row in enumerate(rows) if sections[p] == section and row.method not in REFERENCES]
        found = comparison.ranks([rows[p].method for p in places], [rows[p].records for p in places], metric)
        for place, rank in zip(places, found, strict=True):
            ranks[place] = rank
    return ranks


def _ascending(column: str, frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> bool:
    if column not in frame:
        raise UsageError(f"there is no column '{column}' to sort by; {nearest(column, map(str, frame))}")
    return not any(metric["name"] == column and metric["direction"] == "higher" for metric in metrics)


def write(store: Store) -> Leaderboard:
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
    same = [name for name in (*pooling.DIVISIONS, pooling.AMONG, "n") if name in frame]
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
    interval = statistics.rate_interval if metric["unit"] == "rate" else statistics.mean_interval
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


def render(board: Leaderboard) -> RenderableType:
    """The leaderboard for a terminal: one narrow table per criterion, then what the reader has to know."""
    parts: list[RenderableType] = []
    frame = board.frame
    for criterion, metrics in shown(frame, board.metrics):
        for first in range(0, len(metrics), ABREAST):
            parts.append(_section(criterion, frame, metrics[first : first + ABREAST]))
    parts.append(_cost(frame))
    parts += [Text(note, style="dim", overflow="fold") for note in notes(board)]
    return Group(*parts)


def shown(frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Metrics with a value somewhere, by criterion."""
    for criterion in CRITERIA:
        found = [m for m in metrics if m.get("criterion") == criterion and frame[m["name"]].notna().any()]
        if found:
            yield criterion, found


def _section(criterion: str, frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> Table:
    table = Table(title=criterion, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    _method_column(table, frame)
    table.add_column("n", justify="right")
    for metric in metrics:
        title = metric["name"].replace("_", "_\n") if len(metric["name"]) > TITLE_WIDTH else metric["name"]
        table.add_column(title + ARROWS[metric["direction"]], justify="right")
    for _, row in frame.iterrows():
        table.add_row(row["method"], str(row["n"]), *(cell(row, metric) for metric in metrics))
    return table


def _method_column(table: Table, frame: pd.DataFrame) -> None:
    longest = max(frame["method"].str.len())
    table.add_column("method", overflow="fold", min_width=min(longest, METHOD_WIDTH))


def cell(row: pd.Series, metric: Mapping[str, Any]) -> Text:
    """A metric's value in a row, with its interval, its floor, and its n where that is not the row's."""
    name, value = metric["name"], row[metric["name"]]
    if math.isnan(value):
        return Text("-", style="dim")
    cell = Text(number(value))
    if not math.isnan(row[f"{name}_low"]):
        cell.append(f" [{number(row[f'{name}_low'])}, {number(row[f'{name}_high'])}]", style="dim")
    if metric["level"] != "set" and row[f"{name}_n"] != row["n"]:
        cell.append(f" n={row[f'{name}_n']:.0f}", style="yellow")
    if metric["level"] == "set":
        floor, reconstruction = row[f"{name}_floor"], row[f"{name}_{RECONSTRUCTION}"]
        cell.append(f" floor {'-' if math.isnan(floor) else number(floor)}", style="dim")
        if row["method"] not in REFERENCES and not math.isnan(reconstruction):
            cell.append(f", D(E(x)) {number(reconstruction)}", style="dim")
    return cell


def _cost(frame: pd.DataFrame) -> Table:
    table = Table(title="cost", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    _method_column(table, frame)
    for title in ("n", "failed", "skipped", "s/video", "peak MB", "network calls per video"):
        table.add_column(title, justify="right")
    for _, row in frame.iterrows():
        counts = (str(row[name]) for name in ("n", "failed", "skipped"))
        costs = ("-" if math.isnan(row[name]) else number(row[name]) for name in ("seconds", "peak_memory_mb"))
        table.add_row(row["method"], *counts, *costs, calls(row))
    return table


def calls(row: pd.Series) -> str:
    """Calls of each network per video, in words."""
    calls = {str(name).removeprefix(CALLS): row[name] for name in row.index if str(name).startswith(CALLS)}
    return ", ".join(f"{network} {count:,.0f}" for network, count in calls.items() if count > 0)


def number(value: float) -> str:
    """Three or four digits, as people compare them."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


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
