"""From records and set distances to the table that people read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vcfe_bench import seeds, statistics
from vcfe_bench.interfaces import Criterion
from vcfe_bench.records import RECORDS
from vcfe_bench.scoring import METRICS, SETS
from vcfe_bench.store import Store

CSV = "leaderboard.csv"
METHOD_WIDTH = 32
"""Longer specs are folded."""
TITLE_WIDTH = 12
"""Longer names of metrics are broken at their underscores."""
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
CALLS = "evaluations_"
CRITERIA: tuple[str, ...] = get_args(Criterion)


@dataclass(frozen=True)
class Leaderboard:
    """A table with what is needed to read it.

    ``frame`` has one row per method: ``method, n, failed, skipped``, for each sample metric its mean with ``_low``,
    ``_high`` (95 % interval over videos) and ``_n``, for each set metric its value with ``_low``, ``_high``, ``_floor``
    (real against real) and ``_floor_n``, then the costs and ``reasons``. ``metrics`` are the cards, ``missing`` the
    number of planned tasks that have not run.
    """

    frame: pd.DataFrame
    metrics: list[dict[str, Any]]
    missing: int = 0


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


def write(store: Store) -> Leaderboard:
    """Bring ``leaderboard.csv`` up to the records."""
    board = load(store.path)
    store.put_table(CSV, board.frame)
    return board


def build(records: pd.DataFrame, sets: pd.DataFrame, metrics: list[dict[str, Any]], order: list[str]) -> pd.DataFrame:
    """The table of ``Leaderboard.frame``, rows in ``order``."""
    return pd.DataFrame([_row(method, records[records["method"] == method], sets, metrics) for method in order])


def _row(method: str, records: pd.DataFrame, sets: pd.DataFrame, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    done = records[records["status"] == "ok"]
    row: dict[str, Any] = {"method": method, "n": len(done)}
    row |= {status: int((records["status"] == status).sum()) for status in ("failed", "skipped")}
    for metric in metrics:
        if metric["level"] == "sample":
            row |= _mean(done, method, metric)
        elif metric["level"] == "set":
            row |= _distance(sets, method, metric["name"])
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


def _distance(sets: pd.DataFrame, method: str, name: str) -> dict[str, float]:
    found = sets[(sets["method"] == method) & (sets["metric"] == name)]
    values: dict = found.iloc[0].to_dict() if len(found) else {}
    row = {name: values.get("value", math.nan)}
    return row | {f"{name}_{part}": values.get(part, math.nan) for part in ("low", "high", "floor", "floor_n")}


def _place(metric: Mapping[str, Any]) -> tuple[int, bool, bool, str]:
    """Sort key: by criterion, rates first, what is neither good nor bad last."""
    criterion = metric.get("criterion")
    place = CRITERIA.index(criterion) if criterion in CRITERIA else len(CRITERIA)
    return place, metric.get("unit") != "rate", metric.get("direction") is None, metric["name"].lower()


def render(board: Leaderboard) -> RenderableType:
    """The leaderboard for a terminal: one narrow table per criterion, then what the reader has to know."""
    parts: list[RenderableType] = []
    frame = board.frame
    for criterion in CRITERIA:
        shown = [m for m in board.metrics if m.get("criterion") == criterion and frame[m["name"]].notna().any()]
        if shown:
            parts.append(_section(criterion, frame, shown))
    parts.append(_cost(frame))
    parts += [Text(note, style="dim", overflow="fold") for note in _notes(board)]
    return Group(*parts)


def _section(criterion: str, frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> Table:
    table = Table(title=criterion, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    _method_column(table, frame)
    table.add_column("n", justify="right")
    for metric in metrics:
        title = metric["name"].replace("_", "_\n") if len(metric["name"]) > TITLE_WIDTH else metric["name"]
        table.add_column(title + ARROWS[metric["direction"]], justify="right")
    for _, row in frame.iterrows():
        table.add_row(row["method"], str(row["n"]), *(_cell(row, metric) for metric in metrics))
    return table


def _method_column(table: Table, frame: pd.DataFrame) -> None:
    longest = max(frame["method"].str.len())
    table.add_column("method", overflow="fold", min_width=min(longest, METHOD_WIDTH))


def _cell(row: pd.Series, metric: Mapping[str, Any]) -> Text:
    name, value = metric["name"], row[metric["name"]]
    if math.isnan(value):
        return Text("-", style="dim")
    cell = Text(number(value))
    if not math.isnan(row[f"{name}_low"]):
        cell.append(f" [{number(row[f'{name}_low'])}, {number(row[f'{name}_high'])}]", style="dim")
    if metric["level"] == "sample" and row[f"{name}_n"] != row["n"]:
        cell.append(f" n={row[f'{name}_n']}", style="yellow")
    if metric["level"] == "set":
        floor = row[f"{name}_floor"]
        cell.append(f" floor {'-' if math.isnan(floor) else number(floor)}", style="dim")
    return cell


def _cost(frame: pd.DataFrame) -> Table:
    table = Table(title="cost", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    _method_column(table, frame)
    for title in ("n", "failed", "skipped", "s/video", "peak MB", "network calls per video"):
        table.add_column(title, justify="right")
    for _, row in frame.iterrows():
        counts = (str(row[name]) for name in ("n", "failed", "skipped"))
        costs = ("-" if math.isnan(row[name]) else number(row[name]) for name in ("seconds", "peak_memory_mb"))
        table.add_row(row["method"], *counts, *costs, _calls(row))
    return table


def _calls(row: pd.Series) -> str:
    calls = {str(name).removeprefix(CALLS): row[name] for name in row.index if str(name).startswith(CALLS)}
    return ", ".join(f"{network} {count:,.0f}" for network, count in calls.items() if count > 0)


def number(value: float) -> str:
    """Three or four digits, as people compare them."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def _notes(board: Leaderboard) -> Iterator[str]:
    frame = board.frame
    yield "[low, high]: 95 % interval over videos. floor: real videos against other real videos at the same n."
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
        elif metric["level"] == "set" and frame["n"].max() < metric["min_samples"]:
            wanted = f"{metric['min_samples']:,} samples"
            yield f"{metric['name']} is biased at this n (its card asks for {wanted}): read it against its floor only."
