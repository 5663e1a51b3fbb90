"""A small target and queries, for tests of the methods that guide denoising."""

from __future__ import annotations

import torch
from torch import nn

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Calls, Context, Explanation, Method, Query, Sample, Target
from vcfe_bench.plugins.calls import Account
from vcfe_bench.plugins.counted import counted

SHAPE = FRAMES, HEIGHT, WIDTH = (5, 16, 16)


class Linear(Target):
    """A linear layer over all pixels."""

    classes = ("a", "b")
    fingerprint = "linear"

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(FRAMES * 3 * HEIGHT * WIDTH, outputs)
        self.requires_grad_(False)

    def forward(self, video):
        return self.layer(video.flatten(1) - 0.5)


def passes(method: Method, queries: list[Query], context: Context) -> tuple[list[Explanation], list[dict[str, tuple]]]:
    """What a method returns, and for every query its forward and backward passes by network."""
    calls = Calls(len(queries))
    explanations = method.run(queries, counted(context, calls))
    return explanations, [_passes(account) for account in calls.accounts]


def _passes(account: Account) -> dict[str, tuple[int, int]]:
    return {network: (count, account.backwards[network]) for network, count in account.forwards.items()}


def make_queries(goals=(0, 1, 0, 1), seed: int = 0, videos: int = 9) -> list[Query]:
    """Four queries. ``goals`` that are integers are classes; ``videos`` is the seed of the originals."""
    originals = torch.rand(4, FRAMES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(videos))
    goals = [ClassGoal(goal) if isinstance(goal, int) else goal for goal in goals]
    return [
        Query(Sample(str(i), video, 0, 16.0), goal, seed=seed + i)
        for i, (video, goal) in enumerate(zip(originals, goals, strict=True))
    ]
