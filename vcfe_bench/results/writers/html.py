"""Leaderboards as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from vcfe_bench.results.cells import Cell
from vcfe_bench.results.grid import Grid, grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes

HEAD = '<!DOCTYPE html>\n<meta charset="utf-8">\n<title>Leaderboard</title>'


def write(board: Leaderboard) -> str:
    """All tables and notes of a leaderboard."""
    return page(grids(board), notes(board))


def page(tables: Iterable[Grid], notes: Iterable[str]) -> str:
    """A page with the tables, then the notes as a list."""
    items = "".join(f"<li>{escape(note)}</li>\n" for note in notes)
    return "\n".join([HEAD, *(table(grid) for grid in tables), f"<ul>\n{items}</ul>"]) + "\n"


def table(grid: Grid) -> str:
    """One table with its title as caption."""
    header = "".join(f"<th>{escape(column.title)}</th>" for column in grid.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in grid.rows)
    caption = f"<caption>{escape(grid.title)}</caption>"
    return f"<table>\n{caption}\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"


def _text(cell: Cell) -> str:
    return f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
