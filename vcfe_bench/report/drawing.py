"""Drawings as inline SVG, which take their font, text colour and the colours of methods from the page.

Each method has a colour, ``--series-<k>`` in the style sheet, and a marker, from ``MARKERS``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

from vcfe_bench.results.cells import ARROWS
from vcfe_bench.runs.records import ScoredCard

SIZE = (3.6, 2.7)
"""Size of a plot, in inches."""
MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"))
"""Markers of the methods in turn: for matplotlib, and as a character."""
COLOURS = 8
"""Number of colours of methods, ``--series-0`` to ``--series-7`` of the style sheet."""
SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "axes.spines.top": False}
SETTINGS |= {"axes.spines.right": False, "svg.hashsalt": "vcfe-bench"}


@dataclass(frozen=True)
class Plot:
    """A drawing as an SVG element."""

    title: str
    svg: str


def axes(title: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=size, layout="constrained")
    drawn = figure.add_subplot(title=title)
    drawn.grid(color="#000000", alpha=0.12, linewidth=0.6)
    drawn.set_axisbelow(True)
    return figure, drawn


def colour(place: int) -> str:
    """A placeholder for ``--series-<k>``, which matplotlib does not know."""
    return f"#fe00{place % COLOURS:02x}"


def marker(place: int) -> str:
    """The marker of the method in this place, for matplotlib."""
    return MARKERS[place % len(MARKERS)][0]


@dataclass(frozen=True)
class Quantity:
    """A column of ``Leaderboard.frame`` on an axis with this ``label``, ``spread`` where it is many times larger for
    some methods than for others."""

    column: str
    label: str
    spread: bool = False


def quantity(card: ScoredCard) -> Quantity:
    """The values of a metric."""
    return Quantity(card.name, card.name + ARROWS[card.direction])


def against(rows: pd.DataFrame, y: Quantity, x: Quantity, places: Mapping[str, int]) -> Plot:
    """The rows of a table with a rate ``y`` and another quantity, with 95 % intervals where the table has them."""
    title = f"{y.column} against {x.column}"
    with matplotlib.rc_context(SETTINGS):
        figure, drawn = axes(title)
        for _, row in rows.iterrows():
            place = places[row["method"]]
            across, up = (_around(row, shown.column) for shown in (x, y))
            drawn.errorbar(
                row[x.column], row[y.column], up, across, marker(place), color=colour(place), elinewidth=1, markersize=6
            )
        drawn.set(xlabel=x.label, ylabel=y.label, ylim=(-0.05, 1.05))
        if x.spread:
            drawn.set_xscale("symlog", linthresh=1.0)
            drawn.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1.0))
            drawn.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            drawn.set_xlim(left=-0.2)
        return Plot(title, svg(figure, title))


def _around(row: pd.Series, column: str) -> list[list[float]] | None:
    """How far the interval extends below and above a value."""
    if f"{column}_low" not in row:
        return None
    value, low, high = (row[column + part] for part in ("", "_low", "_high"))
    return [[max(value - low, 0)], [max(high - value, 0)]]


def svg(figure: Figure, about: str) -> str:
    """The figure as an element of an HTML page, with ``about`` as its text alternative.

    Ids within the element get a hash of it as prefix, so that they are unique on a page with many such elements.
    """
    figure.savefig(buffer := StringIO(), format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    element = re.sub(r'<g id="[\w.]+">', "<g>", text[text.index("<svg") :])
    element = re.sub(r'style="[^"]*"', lambda match: _themed(match[0]), element)
    own = hashlib.sha256(element.encode()).hexdigest()[:8]
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{escape(about)}" ', 1)


def _themed(style: str) -> str:
    style = re.sub(r"#fe00([0-9a-f]{2})", lambda match: f"var(--series-{int(match[1], 16)})", style)
    return style.replace("#000000", "currentColor")
