"""A joined leaderboard as text: for a terminal, Markdown, LaTeX or HTML.

One narrow table per division and criterion. Bold is what is significantly better than every other method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vcfe_bench.core.text import number
from vcfe_bench.results.cells import ARROWS, calls, cell, shown
from vcfe_bench.results.joined_runs import CODE, CONTEXT, SEED
from vcfe_bench.results.leaderboard import Leaderboard, notes
from vcfe_bench.runs.configuration import REFERENCES

LEGEND = (
    "Bold: significantly better than every other method. Methods that share a letter cannot be told apart (sign-flip "
    "permutation tests on shared videos, Holm, 5 %). Only means over videos are tested, and the references "
    f"({', '.join(REFERENCES)}) stand outside."
)
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class Cell:
    """Text of one place in a table."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """One table: the first ``names`` columns say what a row is and are set flush left."""

    title: str
    header: tuple[str, ...]
    names: int
    rows: tuple[tuple[Cell, ...], ...]


def grids(board: Leaderboard) -> Iterator[Grid]:
    """The tables of a joined leaderboard."""
    frame = board.frame
    for values, section in frame.groupby(list(board.by), sort=False) if board.by else [((), frame)]:
        where = ", ".join(f"{name} {value}" for name, value in zip(board.by, values, strict=True))
        names = ["method", *_telling(section, board.by)]
        for criterion, metrics in shown(section, board.metrics):
            header = (*names, "n", *(metric["name"] + ARROWS[metric["direction"]] for metric in metrics))
            rows = tuple(
                (*_names(row, names), Cell(str(row["n"])), *(_value(row, metric) for metric in metrics))
                for _, row in section.iterrows()
            )
            yield Grid(": ".join(filter(None, (where, criterion))), header, len(names), rows)
        header = (*names, "n", "failed", "skipped", "s/video", "peak MB", "network calls per video")
        rows = tuple((*_names(row, names), *_costs(row)) for _, row in section.iterrows())
        yield Grid(": ".join(filter(None, (where, "cost"))), header, len(names), rows)


def _telling(section: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    """What besides the method tells the rows of a section apart."""
    names = [name for name in (*CONTEXT, SEED) if name not in by and section[name].nunique() > 1]
    return [*names, CODE] if section.duplicated(["method", *CONTEXT, SEED]).any() else names


def _names(row: pd.Series, names: list[str]) -> tuple[Cell, ...]:
    return tuple(Cell(str(row[name])) for name in names)


def _value(row: pd.Series, metric: Mapping[str, Any]) -> Cell:
    group = row.get(f"{metric['name']}_group", "")
    text = cell(row, metric).plain
    return Cell(f"{text} {group}" if group else text, bool(row.get(f"{metric['name']}_best", False)))


def _costs(row: pd.Series) -> tuple[Cell, ...]:
    counts = (str(row[name]) for name in ("n", "failed", "skipped"))
    costs = ("-" if math.isnan(row[name]) else number(row[name]) for name in ("seconds", "peak_memory_mb"))
    return tuple(Cell(text) for text in (*counts, *costs, calls(row)))


def remarks(board: Leaderboard) -> list[str]:
    """What a reader has to know, in sentences."""
    return list(dict.fromkeys((LEGEND, *notes(board), *board.notes)))


def render(board: Leaderboard) -> RenderableType:
    """For a terminal."""
    parts: list[RenderableType] = []
    for grid in grids(board):
        table = Table(title=grid.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for place, title in enumerate(grid.header):
            table.add_column(title, justify="left" if place < grid.names else "right", overflow="fold")
        for row in grid.rows:
            table.add_row(*(Text(cell.text, style="bold" if cell.bold else "") for cell in row))
        parts.append(table)
    return Group(*parts, *(Text(remark, style="dim", overflow="fold") for remark in remarks(board)))


def markdown(board: Leaderboard) -> str:
    def line(texts: Iterator[str]) -> str:
        return f"| {' | '.join(texts)} |"

    def text(cell: Cell) -> str:
        plain = cell.text.replace("|", "\\|")
        return f"**{plain}**" if cell.bold else plain

    parts = []
    for grid in grids(board):
        rule = line("---" if place < grid.names else "---:" for place in range(len(grid.header)))
        rows = (line(map(text, row)) for row in grid.rows)
        parts.append("\n".join([f"**{grid.title}**", "", line(iter(grid.header)), rule, *rows]))
    parts.append("\n".join(f"- {remark}" for remark in remarks(board)))
    return "\n\n".join(parts) + "\n"


def latex(board: Leaderboard) -> str:
    """Needs the package ``booktabs``."""

    def plain(text: str) -> str:
        return "".join(LATEX.get(sign, sign) for sign in text)

    def text(cell: Cell) -> str:
        return rf"\textbf{{{plain(cell.text)}}}" if cell.bold else plain(cell.text)

    parts = []
    for grid in grids(board):
        columns = "l" * grid.names + "r" * (len(grid.header) - grid.names)
        rows = (f"{' & '.join(map(text, row))} \\\\" for row in grid.rows)
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{plain(grid.title)}}}",
                    rf"\begin{{tabular}}{{{columns}}}",
                    r"\toprule",
                    f"{' & '.join(map(plain, grid.header))} \\\\",
                    r"\midrule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    parts.append("\n".join(f"% {remark}" for remark in remarks(board)))
    return "\n\n".join(parts) + "\n"


def html(board: Leaderboard) -> str:
    """One page that needs nothing beside it."""

    def text(cell: Cell) -> str:
        return f"<b>{escape(cell.text)}</b>" if cell.bold else escape(cell.text)

    parts = ['<!DOCTYPE html>\n<meta charset="utf-8">\n<title>Leaderboard</title>']
    for grid in grids(board):
        header = "".join(f"<th>{escape(title)}</th>" for title in grid.header)
        rows = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>\n" for row in grid.rows)
        caption = f"<caption>{escape(grid.title)}</caption>"
        parts.append(f"<table>\n{caption}\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>")
    parts.append("<ul>\n" + "".join(f"<li>{escape(remark)}</li>\n" for remark in remarks(board)) + "</ul>")
    return "\n".join(parts) + "\n"


def csv(board: Leaderboard) -> str:
    """All columns of the frame."""
    return str(board.frame.to_csv(index=False))


TEXTS: Mapping[str, Callable[[Leaderboard], str]] = {"md": markdown, "csv": csv, "latex": latex, "html": html}
"""Writers by the name of their format."""


METHOD_WIDTH = 32
"""Longer specs are folded."""


TITLE_WIDTH = 12
"""Longer names of metrics are broken at their underscores."""


ABREAST = 4
"""Metrics side by side in a terminal of 80 columns."""


def render_run(board: Leaderboard) -> RenderableType:
    """The leaderboard for a terminal: one narrow table per criterion, then what the reader has to know."""
    parts: list[RenderableType] = []
    frame = board.frame
    for criterion, metrics in shown(frame, board.metrics):
        for first in range(0, len(metrics), ABREAST):
            parts.append(_section(criterion, frame, metrics[first : first + ABREAST]))
    parts.append(_cost(frame))
    parts += [Text(note, style="dim", overflow="fold") for note in notes(board)]
    return Group(*parts)


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
