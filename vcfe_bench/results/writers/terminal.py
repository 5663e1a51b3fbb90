"""Leaderboards for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vcfe_bench.results.cells import MISSING, Cell
from vcfe_bench.results.grid import Column, Grid, grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes

WIDTH = 160
"""Columns of a leaderboard that is written to a file."""
METHOD_WIDTH = 32
"""Longer specs of methods are folded."""
TITLE_WIDTH = 12
"""Longer names of metrics are broken at their underscores."""
METRICS = 4
"""Most metrics of one table, so that it fits 80 columns."""


def write(board: Leaderboard) -> str:
    """The leaderboard as plain text, ``WIDTH`` columns wide."""
    Console(file=(text := StringIO()), width=WIDTH).print(render(board))
    return text.getvalue()


def render(board: Leaderboard) -> RenderableType:
    """Narrow tables, one below the other, then the notes."""
    tables = [_table(part) for grid in grids(board) for part in _narrow(grid)]
    return Group(*tables, *(Text(note, style="dim", overflow="fold") for note in notes(board)))


def _narrow(grid: Grid) -> Iterator[Grid]:
    """The grid in parts of at most ``METRICS`` metrics, each with all other columns."""
    others = [place for place, column in enumerate(grid.columns) if column.kind != "metric"]
    metrics = [place for place, column in enumerate(grid.columns) if column.kind == "metric"]
    for start in range(0, len(metrics), METRICS) if metrics else [0]:
        places = [*others, *metrics[start : start + METRICS]]
        yield replace(
            grid,
            columns=tuple(grid.columns[place] for place in places),
            rows=tuple(tuple(row[place] for place in places) for row in grid.rows),
        )


def _table(grid: Grid) -> Table:
    table = Table(title=Text(grid.title, style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, column in enumerate(grid.columns):
        longest = max(len(row[place].text) for row in grid.rows)
        table.add_column(
            Text(_title(column)),
            justify="left" if column.kind == "identity" else "right",
            overflow="fold",
            min_width=min(longest, METHOD_WIDTH) if column.name == "method" else None,
        )
    for row in grid.rows:
        table.add_row(*map(_text, row))
    return table


def _title(column: Column) -> str:
    if column.kind == "metric" and len(column.name) > TITLE_WIDTH:
        return column.title.replace("_", "_\n")
    return column.title


def _text(cell: Cell) -> Text:
    if cell.value == MISSING:
        return Text(MISSING, style="dim")
    parts = ((cell.value, ""), (cell.interval, "dim"), (cell.count, "yellow"), (cell.floors, "dim"), (cell.group, ""))
    text = Text(" ").join(Text(part, style=style) for part, style in parts if part)
    text.style = "bold" if cell.best else ""
    return text
