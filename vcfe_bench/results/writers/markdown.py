"""Leaderboards as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from vcfe_bench.core.text import in_markdown
from vcfe_bench.results.cells import Cell
from vcfe_bench.results.grid import Grid, grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes


def write(board: Leaderboard) -> str:
    """All tables and notes of a leaderboard."""
    return page(grids(board), notes(board))


def page(tables: Iterable[Grid], notes: Iterable[str]) -> str:
    """Tables with bold titles, then the notes as a list."""
    return (
        "\n\n".join([*(table(grid) for grid in tables), "\n".join(f"- {in_markdown(note)}" for note in notes)]) + "\n"
    )


def table(grid: Grid) -> str:
    """One table with a bold title."""
    header = _line(in_markdown(column.title) for column in grid.columns)
    rule = _line("---" if column.kind == "identity" else "---:" for column in grid.columns)
    return "\n".join(
        [f"**{in_markdown(grid.title)}**", "", header, rule, *(_line(map(_text, row)) for row in grid.rows)]
    )


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _text(cell: Cell) -> str:
    text = in_markdown(cell.text)
    return f"**{text}**" if cell.best else text
