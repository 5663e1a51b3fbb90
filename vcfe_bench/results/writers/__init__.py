"""Leaderboards as text: one module per format, each with a function ``write``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.writers import csv, html, latex, markdown, terminal

WRITERS: Mapping[str, Callable[[Leaderboard], str]] = {
    "rich": terminal.write,
    "md": markdown.write,
    "latex": latex.write,
    "html": html.write,
    "csv": csv.write,
}
"""Functions that write a leaderboard as text, by the name of the format."""
