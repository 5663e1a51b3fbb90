"""A leaderboard as a sequence of tables of text, which the writers turn into a format.

There is one table per division and criterion, and one of the costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from vcfe_bench.core.text import printable
from vcfe_bench.plugins.terms import CRITERIA
from vcfe_bench.results.cells import ARROWS, SELECTED, Cell, by_all, cost_cells, metric_cell
from vcfe_bench.results.comparison import BY_ALL
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.rows import BUDGET, CONTEXT
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard


@dataclass(frozen=True)
class Column:
    """A column: one that identifies the row, the value of a metric, or another number of the row."""

    name: str
    kind: Literal["identity", "metric", "number"]
    direction: Literal["higher", "lower"] | None = None
    mark: str = ""

    @property
    def title(self) -> str:
        return printable(self.name) + self.mark + ARROWS[self.direction]


@dataclass(frozen=True)
class Grid:
    """One table; the columns that identify a row come first."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


N = Column("n", "number")
COSTS = tuple(Column(name, "number") for name in ("failed", "skipped", "declined", "calls", "s/video", "peak MB"))


def grids(board: Leaderboard) -> Iterator[Grid]:
    """The tables of a leaderboard of one run or of several joined runs."""
    frame = board.frame
    for values, section in frame.groupby(list(board.by), sort=False) if board.by else [((), frame)]:
        division = ", ".join(f"{name} {value}" for name, value in zip(board.by, values, strict=True))
        names = ["method", *distinguishing(section, board.by)]
        identity = tuple(Column(name, "identity") for name in names)
        for criterion, cards in by_criterion(section, board.metrics):
            cards = [shown for card in cards for shown in _with_shared(card, section)]
            yield Grid(
                _title(division, criterion),
                (*identity, N, *map(_column, cards)),
                tuple(
                    (*_identity(row, names), Cell(str(row["n"])), *(metric_cell(row, card) for card in cards))
                    for _, row in section.iterrows()
                ),
            )
        rows = tuple((*_identity(row, names), *cost_cells(row)) for _, row in section.iterrows())
        yield Grid(_title(division, "cost"), (*identity, N, *COSTS), rows)


def _with_shared(card: ScoredCard, section: pd.DataFrame) -> Iterator[ScoredCard]:
    """A metric and, where methods are compared, the same one over what all of them flipped."""
    yield card
    if card.name + BY_ALL in section:
        yield by_all(card)


def _column(card: ScoredCard) -> Column:
    if card.name.endswith(BY_ALL):
        return Column(card.name.removesuffix(BY_ALL), "metric", card.direction, " (flipped by all)")
    return Column(card.name, "metric", card.direction, SELECTED if card.selected else "")


def by_criterion(frame: pd.DataFrame, cards: Sequence[ScoredCard]) -> Iterator[tuple[str, list[ScoredCard]]]:
    """The metrics that have a value in some row, by criterion."""
    for criterion in CRITERIA:
        present = [card for card in cards if card.criterion == criterion and frame[card.name].notna().any()]
        if present:
            yield criterion, present


def _title(division: str, name: str) -> str:
    return printable(f"{division}: {name}" if division else name)


def distinguishing(section: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    """The columns that, besides the method, distinguish the rows of a section; reference methods have no budget."""
    known = [name for name in (*CONTEXT, "seed") if name in section]
    if section.duplicated(["method", *known]).any() and "code" in section:
        known.append("code")
    limited = section[~section["method"].isin(REFERENCES)]
    numbers = {name: (limited if name == BUDGET else section)[name].nunique() for name in known}
    return [name for name in known if name not in by and (name == "code" or numbers[name] > 1)]


def _identity(row: pd.Series, names: list[str]) -> tuple[Cell, ...]:
    return tuple(Cell(str(row[name])) for name in names)
