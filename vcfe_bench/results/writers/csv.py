"""Leaderboards as CSV."""

from __future__ import annotations

from vcfe_bench.results.leaderboard import Leaderboard


def write(board: Leaderboard) -> str:
    """All columns of ``board.frame``, without notes."""
    return str(board.frame.to_csv(index=False))
