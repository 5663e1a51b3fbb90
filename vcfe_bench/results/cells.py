"""The contents of single cells of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from vcfe_bench.core.text import number, printable
from vcfe_bench.results.comparison import BY_ALL
from vcfe_bench.results.leaderboard import RECONSTRUCTION
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard

MISSING = "–"
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
"""What follows the name of a metric, by the direction that is better."""
SELECTED = " †"
"""What follows the name of a metric over each method's own flips."""


@dataclass(frozen=True)
class Cell:
    """A value as text, with what qualifies it.

    Attributes:
        value: the value itself; ``MISSING`` where there is none.
        interval: its 95 % interval, ``[low, high]``.
        count: how many of the tasks that the method was asked it rests on, ``n=7/8``, where it is not all of them.
        floors: what a distance between sets is compared with, ``floor 1.2 ± 0.1, D(E(x)) 3.4``.
        group: a letter for each group of methods that are not distinguishable, ``ab``.
        best: whether it is significantly better than that of every other method.
    """

    value: str
    interval: str = ""
    count: str = ""
    floors: str = ""
    group: str = ""
    best: bool = False

    @property
    def text(self) -> str:
        """All of it in one line, without signs that a terminal obeys."""
        return printable(" ".join(filter(None, (self.value, self.interval, self.count, self.floors, self.group))))


def by_all(card: ScoredCard) -> ScoredCard:
    """The card of a metric over flips, restricted to the questions that all methods flipped."""
    return replace(card, name=card.name + BY_ALL)


def metric_cell(row: pd.Series, card: ScoredCard) -> Cell:
    """The cell of a metric in a row of ``Leaderboard.frame``."""
    name = card.name
    if math.isnan(row[name]):
        return Cell(MISSING)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Cell(
        number(row[name]),
        "" if math.isnan(low) else f"[{number(low)}, {number(high)}]",
        f"n={row[f'{name}_n']:.0f}/{row['n']}" if row[f"{name}_n"] != row["n"] else "",
        _floors(row, card) if card.level == "set" else "",
        row.get(f"{name}_group", ""),
        bool(row.get(f"{name}_best", False)),
    )


def _floors(row: pd.Series, card: ScoredCard) -> str:
    name = card.name
    spread = row[f"{name}_floor_sd"]
    if card.unbiased:
        floor = f"noise {_or_missing(spread)}"
    else:
        floor = f"floor {_or_missing(row[f'{name}_floor'])}" + ("" if math.isnan(spread) else f" ± {number(spread)}")
    reconstruction = row[f"{name}_{RECONSTRUCTION}"]
    if row["method"] in REFERENCES or math.isnan(reconstruction):
        return floor
    return f"{floor}, D(E(x)) {number(reconstruction)}"


def cost_cells(row: pd.Series) -> tuple[Cell, ...]:
    """Numbers of tasks asked, failed, skipped and declined; calls and seconds per video, peak memory."""
    counts = (str(row[name]) for name in ("n", "failed", "skipped", "declined"))
    costs = (_or_missing(row[name]) for name in ("calls", "seconds", "peak_memory_mb"))
    return tuple(map(Cell, (*counts, *costs)))


def _or_missing(value: float) -> str:
    return MISSING if math.isnan(value) else number(value)
