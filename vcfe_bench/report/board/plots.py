"""Plots of a table: meaning against closeness, and meaning against cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vcfe_bench.report import drawing
from vcfe_bench.report.drawing import Plot, Quantity
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.runs.records import ScoredCard

MEANING = ("semantic_FR", "concept@1", "FR")
CLOSENESS = ("LPIPS(alex)", "LPIPS(vgg)", "LPIPS(st-alex)", "SSIM", "L1")
"""Metrics of which the first is drawn that a table has."""
COSTS = (Quantity("calls", "calls per video ↓", spread=True), Quantity("seconds", "seconds per video ↓", spread=True))


def plots(board: Leaderboard, places: Mapping[str, int]) -> Iterator[Plot]:
    """The plots for which the table has values; ``places`` gives each method its place in the key."""
    meaning, closeness = (_first(board, names) for names in (MEANING, CLOSENESS))
    cost = next((cost for cost in COSTS if board.frame[cost.column].notna().any()), None)
    for other in (closeness and drawing.quantity(closeness), cost):
        if meaning and other:
            rows = board.frame.dropna(subset=[meaning.name, other.column])
            yield drawing.against(rows, drawing.quantity(meaning), other, places)


def _first(board: Leaderboard, names: Sequence[str]) -> ScoredCard | None:
    cards = {card.name: card for card in board.metrics if board.frame[card.name].notna().any()}
    return next((cards[name] for name in names if name in cards), None)
