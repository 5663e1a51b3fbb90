"""Train a Video Swin from scratch on a dataset's training split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.interfaces import Dataset
from vcfe_bench.models.video_swin import SIZES, VideoSwin
from vcfe_bench.training import loop


@dataclass(frozen=True)
class TargetRecipe:
    """``size`` names an entry of ``video_swin.SIZES``; the clip is every ``stride``-th frame, ``length`` of them.

    Linear layers start from Xavier's distribution: with torchvision's deviation of 0.02, made for wide networks, a
    narrow one stays at chance for thousands of steps, since motion only shows in products of features.
    """

    size: str = "mini"
    length: int = 8
    stride: int = 2
    steps: int = 4000
    batch: int = 16
    rate: float = 8e-4
    seed: int = 0


def train(
    dataset: Dataset, folder: Path, recipe: TargetRecipe = TargetRecipe(), log: Callable[[str], None] = print
) -> VideoSwin:
    """Train, resuming from ``folder``; returns the averaged weights, frozen."""
    torch.manual_seed(recipe.seed)
    model = VideoSwin(SIZES[recipe.size], len(dataset.classes), recipe.length, recipe.stride)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(dataset.size("train"), size=recipe.batch)
        videos, labels = zip(*(dataset.training_clip(int(index), rng) for index in chosen), strict=True)
        return F.cross_entropy(model(torch.stack(videos)), torch.tensor(labels))

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.02)
    schedule = loop.Schedule(recipe.steps)
    identity = f"{dataset.spec} {recipe}"
    checkpoint = folder / "target.pt"
    best = loop.run(
        model, [optimizer], loss, schedule, checkpoint, identity=identity, seed=recipe.seed, every=50, ema=0.99, log=log
    )
    return best.eval().requires_grad_(False)
