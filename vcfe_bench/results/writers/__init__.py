"""Leaderboards as text: one module per format, each with a function ``write``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from vcfe_bench.results.grid import Grid
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.writers import csv, github, html, latex, markdown, terminal

WRITERS: Mapping[str, Callable[[Leaderboard], str]] = {
    "rich": terminal.write,
    "md": markdown.write,
    "latex": latex.write,
    "html": html.write,
    "csv": csv.write,
    "github": github.write,
}
"""Functions that write a leaderboard as text, by the name of the format."""

PAGES: Mapping[str, Callable[[Iterable[Grid], Iterable[str]], str]] = {
    "md": markdown.page,
    "latex": latex.page,
    "html": html.page,
}
"""Functions that write any tables and notes as text, for example those of a summary."""
