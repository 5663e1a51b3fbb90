"""Train a Video Swin from scratch on a dataset's training split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench import plugins, seeds, weights
from vcfe_bench.errors import UsageError
from vcfe_bench.goals import AvoidGoal
from vcfe_bench.interfaces import Context, Dataset, Method, Query, Sample, Target
from vcfe_bench.models.video_swin import SIZES, VideoSwin
from vcfe_bench.training import loop


@dataclass(frozen=True)
class TargetRecipe:
    """``size`` names an entry of ``video_swin.SIZES``; the clip is every ``stride``-th frame, ``length`` of them.

    Linear layers start from Xavier's distribution: with torchvision's deviation of 0.02, made for wide networks, a
    narrow one stays at chance for thousands of steps, since motion only shows in products of features.

    ``adversary``: spec of an attack; every clip is then attacked before the step (Madry et al. 2018). The perturbation
    grows linearly to its full size over the first ``ramp`` of the steps: against the full one at once, a trained
    network falls back to chance and stays there. ``start``: a safetensors file of the same network to begin with.
    """

    size: str = "mini"
    length: int = 8
    stride: int = 2
    steps: int = 4000
    batch: int = 16
    rate: float = 8e-4
    seed: int = 0
    adversary: str = ""
    ramp: float = 0.4
    start: str = ""


class _InTraining(Target):
    """A network that is still being trained, as the attack sees it."""

    fingerprint = ""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video)


def train(
    dataset: Dataset, folder: Path, recipe: TargetRecipe = TargetRecipe(), log: Callable[[str], None] = print
) -> VideoSwin:
    """Train, resuming from ``folder``; returns the averaged weights, frozen.

    Classes are learned by cross-entropy, values by squared error in units of half their range.

    Raises:
        UsageError: an adversary for a dataset without classes, or weights of another network.
    """
    if recipe.adversary and not dataset.classes:
        raise UsageError(f"'{recipe.adversary}' attacks classes, dataset '{dataset.spec}' has values")
    torch.manual_seed(recipe.seed)
    outputs, values = len(dataset.classes) or 1, dataset.values
    limits = (values.low, values.high) if values else None
    model = VideoSwin(SIZES[recipe.size], outputs, recipe.length, recipe.stride, limits)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    if recipe.start:
        weights.fill(model, weights.read(Path(recipe.start)), recipe.start)
        model.float().train().requires_grad_(True)
    adversary = plugins.METHODS.build(recipe.adversary) if recipe.adversary else None

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(dataset.size("train"), size=recipe.batch)
        clips = [dataset.training_clip(int(index), rng) for index in chosen]
        if adversary:
            size = min(1.0, (step + 1) / (recipe.ramp * recipe.steps))
            clips = _attacked(adversary, size, model, dataset, clips, seeds.derive(recipe.seed, step))
        videos, labels = zip(*clips, strict=True)
        output = model(torch.stack(videos))
        if values is None:
            return F.cross_entropy(output, torch.tensor(labels))
        return F.mse_loss(output[:, 0], torch.tensor(labels)) / (0.5 * (values.high - values.low)) ** 2

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.02)
    schedule = loop.Schedule(recipe.steps)
    identity = f"{dataset.spec} {recipe}"
    checkpoint = folder / "target.pt"
    best = loop.run(
        model, [optimizer], loss, schedule, checkpoint, identity=identity, seed=recipe.seed, every=50, ema=0.99, log=log
    )
    return best.eval().requires_grad_(False)


Clip = tuple[Tensor, int | float]


def _attacked(
    adversary: Method, size: float, model: nn.Module, dataset: Dataset, clips: list[Clip], seed: int
) -> list[Clip]:
    """The clips with ``size`` times what ``adversary`` does to make ``model`` in evaluation mode miss their labels."""
    context = Context(dataset, _InTraining(model.eval()))
    queries = [
        Query(Sample(str(i), video, label, 1.0), AvoidGoal(int(label)), seeds.derive(seed, i))
        for i, (video, label) in enumerate(clips)
    ]
    explanations = adversary.answer(queries, context)
    model.train()
    return [
        (torch.lerp(video, explanation.video, size), label)
        for explanation, (video, label) in zip(explanations, clips, strict=True)
    ]
