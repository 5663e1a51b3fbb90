"""Probe of how much a single frame of Shape-Moving reveals about the class, trained on one frame index at a time.

``python -m vcfe_datasets.shapes.shape_probe`` prints the table of the dataset's card.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.interfaces import Split
from vcfe_datasets.shapes.shape_moving import ShapeMoving

GRID = 16


def features(dataset: ShapeMoving, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Location maps of the object (pooled difference from the corner pixel) ``[count, T, GRID²]``, and the labels."""
    maps, labels = [], []
    for index in range(count):
        sample = dataset.sample(split, index)
        difference = (sample.video - sample.video[:, :, :1, :1]).abs().amax(1, keepdim=True)
        maps.append(F.adaptive_avg_pool2d(difference, GRID).flatten(1))
        labels.append(int(sample.label))
    return torch.stack(maps), torch.tensor(labels)


def probe(
    dataset: ShapeMoving, train: int = 4000, held_out: int = 1000, frames: list[int] | None = None
) -> dict[int, float]:
    """Accuracy on validation videos of a two-layer network that sees one frame, by its index; chance level is 0.25."""
    maps, labels = features(dataset, "train", train)
    unseen, expected = features(dataset, "validation", held_out)
    return {
        frame: _accuracy(maps[:, frame], labels, unseen[:, frame], expected)
        for frame in (range(dataset.shape[0]) if frames is None else frames)
    }


def _accuracy(x: Tensor, y: Tensor, held_out: Tensor, expected: Tensor) -> float:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(GRID**2, 128), nn.ReLU(), nn.Linear(128, 4))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1)
    rng = np.random.default_rng(0)
    for _ in range(600):
        rows = torch.from_numpy(rng.integers(len(x), size=256))
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(x[rows] * 4), y[rows]))
        optimizer.step()
    with torch.no_grad():
        return float((network(held_out * 4).argmax(1) == expected).float().mean())


if __name__ == "__main__":
    for frame, accuracy in probe(ShapeMoving()).items():
        print(f"| {frame} | {accuracy:.2f} |")
