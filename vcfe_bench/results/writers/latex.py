"""Leaderboards as LaTeX tables that need the package ``booktabs``."""

from __future__ import annotations

from collections.abc import Iterable

from vcfe_bench.results.cells import Cell
from vcfe_bench.results.grid import Grid, grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes

SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write(board: Leaderboard) -> str:
    """All tables and notes of a leaderboard."""
    return page(grids(board), notes(board))


def page(tables: Iterable[Grid], notes: Iterable[str]) -> str:
    """One ``table`` environment per table, then the notes as comments."""
    return "\n\n".join([*(_table(grid) for grid in tables), "\n".join(f"% {note}" for note in notes)]) + "\n"


def _table(grid: Grid) -> str:
    alignment = "".join("l" if column.kind == "identity" else "r" for column in grid.columns)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(grid.title)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _line([_escape(column.title) for column in grid.columns]),
            r"\midrule",
            *(_line([_text(cell) for cell in row]) for row in grid.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _line(texts: list[str]) -> str:
    return f"{' & '.join(texts)} \\\\"


def _text(cell: Cell) -> str:
    return rf"\textbf{{{_escape(cell.text)}}}" if cell.best else _escape(cell.text)


def _escape(text: str) -> str:
    return "".join(SIGNS.get(sign, sign) for sign in text)
