"""Train a C3D-ResNet from scratch on a dataset's training split, as section 4.1 of Kanehira et al. (CVPR 2019) does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import update_bn

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.models.c3d_resnet import SIZES, C3DForm, C3DResNet
from vcfe_bench.plugins.abilities import training_clip
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.training import loop

STATISTICS = 50
"""Batches from which batch normalisation takes its statistics once the weights are averaged."""


@dataclass(frozen=True)
class C3DRecipe:
    """SGD with the paper's rate, momentum and weight decay; its batch is 64, which a CPU takes too long for.

    ``size`` names an entry of ``c3d_resnet.SIZES``, ``fc`` is the number of fully connected layers. The loop adds a
    warm-up, a cosine fall of the rate, clipped gradients and the moving average of the weights, whose batch statistics
    are then measured anew. It computes in bfloat16, with weights and optimiser in float32.
    """

    size: str = "small"
    fc: int = 1
    steps: int = 4000
    batch: int = 16
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-3
    seed: int = 0

    def form(self, dataset: Dataset) -> C3DForm:
        """The network for a dataset.

        Raises:
            UsageError: a dataset without classes, or an unknown size.
        """
        if not dataset.classes:
            raise UsageError(f"a C3D-ResNet tells classes apart, dataset '{dataset.spec}' has values")
        if self.size not in SIZES:
            raise UsageError(f"unknown size '{self.size}'; {nearest(self.size, SIZES)}")
        return C3DForm(self.size, self.fc, dataset.shape, dataset.classes)


def train(
    dataset: Dataset, folder: Path, recipe: C3DRecipe = C3DRecipe(), log: Callable[[str], None] = print
) -> C3DResNet:
    """Train by cross-entropy, resuming from ``folder``; returns the averaged weights, frozen.

    Raises:
        UsageError: a dataset without classes, or an unknown size.
    """
    form = recipe.form(dataset)
    torch.manual_seed(recipe.seed)
    model = form.network()
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.integers(dataset.size("train"), size=recipe.batch)
        videos, labels = zip(*(training_clip(dataset, int(index), rng) for index in chosen), strict=True)
        return torch.stack(videos), torch.tensor(labels)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        videos, labels = batch(rng)
        with torch.autocast(videos.device.type, torch.bfloat16):
            logits = model(videos)
        return F.cross_entropy(logits.float(), labels)

    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay)
    best = loop.run(
        model,
        [optimizer],
        loss,
        loop.Schedule(recipe.steps),
        folder / "c3d_resnet.pt",
        identity=f"{dataset.spec} {recipe}",
        seed=recipe.seed,
        every=50,
        ema=0.99,
        log=log,
    )
    rng = np.random.default_rng([recipe.seed, recipe.steps])
    update_bn((batch(rng)[0] for _ in range(STATISTICS)), best)
    best.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return best.eval().requires_grad_(False)
