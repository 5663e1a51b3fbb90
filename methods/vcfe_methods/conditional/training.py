"""Train the conditional velocity on a dataset's training split, by flow matching in the latents of its generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.interfaces import Dataset, Generator
from vcfe_bench.training import loop
from vcfe_methods.conditional.network import ConditionalVelocity, condition


@dataclass(frozen=True)
class ConditionalRecipe:
    """``videos``: number of training videos, whose latents are computed once and kept in memory."""

    steps: int = 1000
    videos: int = 1024
    batch: int = 16
    lr: float = 1e-3
    width: int = 48
    depth: int = 5
    seed: int = 0


def pair_of(dataset: Dataset, generator: Generator) -> Tensor:
    """32 bytes that identify a dataset and a generator."""
    digest = hashlib.sha256(f"{dataset.spec}\0{generator.fingerprint}".encode()).digest()
    return torch.tensor(list(digest), dtype=torch.uint8)


def conditions_of(dataset: Dataset, labels: Tensor) -> Tensor:
    """Features ``[B, D]`` of labels of the dataset."""
    return condition(labels, len(dataset.classes), dataset.values)


def train(
    dataset: Dataset,
    generator: Generator,
    folder: Path,
    recipe: ConditionalRecipe = ConditionalRecipe(),
    log: Callable[[str], None] = print,
) -> ConditionalVelocity:
    """Train, resuming from ``folder``; returns the network with averaged weights, frozen."""
    latents, labels = _encoded(dataset, generator, recipe.videos)
    features = conditions_of(dataset, labels)
    torch.manual_seed(recipe.seed)
    network = ConditionalVelocity(latents.shape[1], features.shape[1], recipe.width, recipe.depth)
    network.pair.copy_(pair_of(dataset, generator))

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = torch.from_numpy(rng.integers(len(latents), size=recipe.batch))
        clean = latents[chosen]
        noise, sigma = torch.randn_like(clean), torch.sigmoid(torch.randn(recipe.batch))
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - level) * clean + level * noise
        velocity = network(noisy, sigma, clean[:, :, :1], features[chosen])
        return (velocity - (noise - clean)).square().mean()

    averaged = loop.run(
        network,
        [torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=0.01)],
        loss,
        loop.Schedule(recipe.steps, warmup=min(100, recipe.steps // 10 + 1)),
        folder / "conditional.pt",
        identity=f"{dataset.spec} {generator.fingerprint} {recipe}",
        seed=recipe.seed,
        ema=0.99,
        every=50,
        log=log,
    )
    return averaged.eval().requires_grad_(False)


@torch.no_grad()
def _encoded(dataset: Dataset, generator: Generator, videos: int) -> tuple[Tensor, Tensor]:
    """Latents and labels of the first training videos."""
    latents: list[Tensor] = []
    labels: list[float] = []
    for index in range(min(videos, dataset.size("train"))):
        sample = dataset.sample("train", index)
        latents.append(generator.encode(sample.video[None]))
        labels.append(float(sample.label))
    return torch.cat(latents), torch.tensor(labels)
