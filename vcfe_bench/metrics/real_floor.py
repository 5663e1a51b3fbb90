"""Real videos as the floor of a criterion: what two real videos that are no edits of each other score.

They are the first ``COUNT`` of the training split, so nothing is learned from the videos that are scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.metrics.motion import roughness
from vcfe_bench.metrics.proximity import frame_ssim
from vcfe_bench.plugins.abilities import Tracker
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Case, Footage

COUNT = 32
"""Number of training videos."""


@dataclass(frozen=True)
class RealFloor:
    """What real videos of a dataset score.

    Attributes:
        ids: ids ``[n]`` of the videos.
        first_frames: their first frames, ``[n, 3, H, W]``.
        ssim: mean SSIM between the first frames of two of them.
        roughness: largest roughness of their objects, 0 where the dataset has no tracker.
    """

    ids: tuple[str, ...]
    first_frames: Tensor
    ssim: float
    roughness: float


@lru_cache(maxsize=2)
def real_floor(dataset: Dataset) -> RealFloor:
    """The floor from the first training videos of a dataset, of which there have to be two or more."""
    samples = [dataset.sample("train", index) for index in range(min(COUNT, dataset.size("train")))]
    first_frames = torch.stack([sample.video[0] for sample in samples])
    half = len(samples) // 2
    pairs = zip(first_frames[:half].double().numpy(), first_frames[half:].double().numpy(), strict=False)
    rough = [roughness(Footage(dataset, s, s.video)) for s in samples] if isinstance(dataset, Tracker) else []
    finite = np.array(rough)[np.isfinite(rough)]
    return RealFloor(
        tuple(sample.id for sample in samples),
        first_frames,
        float(np.mean([frame_ssim(*pair) for pair in pairs])),
        float(finite.max(initial=0.0)),
    )


def nearest_first_frame(case: Case) -> float:
    """Smallest mean absolute difference between the original's first frame and that of another, real video."""
    return case.sample.cached(("nearest first frame", case.dataset), lambda: _nearest(case))


def _nearest(case: Case) -> float:
    floor = real_floor(case.dataset)
    distances = (floor.first_frames - case.sample.video[0]).abs().mean(dim=(1, 2, 3))
    return float(distances[[id != case.sample.id for id in floor.ids]].min())
