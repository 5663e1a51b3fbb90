"""Leaderboards for the step summary of a GitHub job: the summary, and all tables folded away."""

from __future__ import annotations

from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.summary import summaries
from vcfe_bench.results.writers import markdown


def write(board: Leaderboard) -> str:
    """Markdown that GitHub shows."""
    tables = list(summaries(board))
    short = markdown.page(
        (table.grid for table in tables), dict.fromkeys(note for table in tables for note in table.notes)
    )
    return f"{short}\n<details><summary>All metrics</summary>\n\n{markdown.write(board)}\n</details>\n"
