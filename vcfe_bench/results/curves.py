"""Success against cost: the share of the requested videos that a method changes as requested with at most b calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vcfe_bench.core.text import number
from vcfe_bench.results.cells import Cell
from vcfe_bench.results.grid import Column, Grid
from vcfe_bench.results.rows import declined
from vcfe_bench.runs import tables
from vcfe_bench.runs.configuration import REFERENCES, one_protocol
from vcfe_bench.runs.run_directory import RunDirectory

MEASURES = ("FR", "semantic_FR", "minimal_FR")
"""The rates that are drawn against calls. FR is whether the goal is met; the others are metrics of these names."""
LEVELS = 6
"""Number of budgets in a table of curves where the runs have fewer."""


@dataclass(frozen=True)
class Curve:
    """A step function: ``shares[k]`` from ``calls[k]`` calls on, 0 before the first.

    Attributes:
        calls: increasing.
        shares: of the requested videos, in [0, 1].
        n: number of requested videos.
    """

    calls: np.ndarray
    shares: np.ndarray
    n: int

    def at(self, budget: float) -> float:
        """The share with at most ``budget`` calls for a video."""
        place = np.searchsorted(self.calls, budget, side="right")
        return float(self.shares[place - 1]) if place else 0.0


def records_of(stores: Sequence[RunDirectory]) -> pd.DataFrame:
    """The records of runs, each task once, with a column ``budget``, infinite for none.

    Raises:
        UsageError: a run has no records yet.
    """
    frames = [tables.read_records(store).assign(budget=store.configuration.budget or math.inf) for store in stores]
    together = pd.concat(frames, ignore_index=True)
    done_first = (together["status"] != "ok").sort_values(kind="stable").index
    return together.loc[done_first].drop_duplicates("id").sort_index()


def groups(paths: Sequence[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """``records_of`` by dataset and target.

    Raises:
        UsageError: not a run, a run has no records yet, or they were made by different protocols.
    """
    stores: dict[tuple[str, str], list[RunDirectory]] = {}
    runs = [RunDirectory(path) for path in dict.fromkeys(paths)]
    one_protocol((store.path, store.configuration.protocol) for store in runs)
    for store in runs:
        made = store.configuration
        stores.setdefault((made.dataset, made.target.spec), []).append(store)
    return {names: records_of(members) for names, members in stores.items()}


def curves(records: pd.DataFrame, measure: str) -> dict[str, Curve]:
    """The curve of each method for one of ``MEASURES``; empty if the records do not have it.

    Reference methods are left out, and so are methods whose calls were not counted. A method that ran with several
    budgets has, between two of them, the share that it reached with the lower one; a run without a budget then counts
    for nothing. Videos that a method failed to answer count as not changed, those that it declined before the run do
    not count.
    """
    column = "met" if measure == "FR" else measure
    if column not in records or "calls" not in records:
        return {}
    requested = records[~declined(records) & ~records["method"].isin(REFERENCES)]
    success = (requested["status"] == "ok") & requested[column].astype("Float64").fillna(0).astype(bool)
    requested = requested.assign(success=success)
    found = {}
    for method, rows in requested.groupby("method", sort=False):
        counted = rows["calls"].notna() | (rows["status"] != "ok")
        if counted.all() and (rows[column].notna() & (rows["status"] == "ok")).any():
            found[str(method)] = _curve(rows)
    return found


def _curve(rows: pd.DataFrame) -> Curve:
    by_budget = {budget: part for budget, part in sorted(rows.groupby("budget"), key=lambda pair: float(pair[0]))}  # type: ignore[arg-type]
    (_, first), *others = by_budget.items()
    calls, counts = np.unique(first.loc[first["success"], "calls"].to_numpy(float), return_counts=True)
    shares = counts.cumsum() / len(first)
    limited = [(float(budget), part["success"].mean()) for budget, part in others if math.isfinite(budget)]  # type: ignore[arg-type]
    return Curve(
        np.array([*calls, *(budget for budget, _ in limited)]),
        np.array([*shares, *(share for _, share in limited)]),
        len(first),
    )


def levels(records: pd.DataFrame) -> list[float]:
    """Budgets for a table: those of the runs if there are at least five, else ``LEVELS`` over the range of calls."""
    given = sorted(budget for budget in records["budget"].unique() if math.isfinite(budget))
    if len(given) >= LEVELS - 1:
        return given
    answered = records.loc[(records["status"] == "ok") & ~records["method"].isin(REFERENCES), "calls"]
    positive = answered[answered > 0]
    if positive.empty:
        return []
    spread = np.geomspace(positive.min(), positive.max(), LEVELS)
    return sorted({_up(value) for value in spread})


def _up(value: float) -> float:
    """``value`` with two significant digits, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit - 1e-9) * unit, 12)


def table(records: pd.DataFrame) -> pd.DataFrame:
    """One row per measure and method, one column per budget of ``levels``, with the shares at that budget."""
    budgets = levels(records)
    rows: list[Mapping[str, object]] = [
        {"measure": measure, "method": method, "n": curve.n, **{f"{b:g}": curve.at(b) for b in budgets}}
        for measure in MEASURES
        for method, curve in curves(records, measure).items()
    ]
    return pd.DataFrame(rows, columns=["measure", "method", "n", *(f"{budget:g}" for budget in budgets)])


def grids(records: pd.DataFrame) -> list[Grid]:
    """``table`` as one table of text per measure."""
    return [
        Grid(
            f"{measure} with at most so many calls per video",
            (Column("method", "identity"), *(Column(str(name), "number") for name in rows.columns[2:])),
            tuple(
                (Cell(row["method"]), Cell(str(row["n"])), *(Cell(number(share)) for share in row.iloc[3:]))
                for _, row in rows.iterrows()
            ),
        )
        for measure, rows in table(records).groupby("measure", sort=False)
    ]
