"""Batches from a dataset's training split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.plugins.dataset import Dataset


def clips(dataset: Dataset, rng: np.random.Generator, batch: int, frames: int) -> Tensor:
    """``[batch, frames, 3, H, W]`` in [0, 1]: consecutive frames at random positions of random training videos."""
    videos = []
    for index in rng.integers(dataset.size("train"), size=batch):
        video = dataset.sample("train", int(index)).video
        start = rng.integers(len(video) - frames + 1)
        videos.append(video[start : start + frames])
    return torch.stack(videos)
