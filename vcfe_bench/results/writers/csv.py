"""Leaderboards as CSV."""

from __future__ import annotations

from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.summary import summaries


def write(board: Leaderboard) -> str:
    """All columns of ``board.frame``, those of the summary first, without notes."""
    first = dict.fromkeys(name for table in summaries(board) for name in table.sources)
    known = [name for name in (*_identity(board), *first) if name in board.frame]
    rest = [name for name in board.frame if name not in known]
    return str(board.frame[[*known, *rest]].to_csv(index=False))


def _identity(board: Leaderboard) -> list[str]:
    """The columns up to ``n``, which say what a row is."""
    names = list(map(str, board.frame))
    return names[: names.index("n") + 1]
