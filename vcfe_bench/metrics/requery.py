"""What metrics share that ask the target about altered counterfactuals."""

from __future__ import annotations

import torch
from torch import Tensor

from vcfe_bench.plugins.metric import Case
from vcfe_bench.video import lossless


def flipped(case: Case) -> bool:
    """Whether the target says of the stored counterfactual what the goal asks."""
    return bool(torch.isfinite(case.after).all()) and bool(case.goal.met(case.after[None])[0])


@torch.no_grad()
def outputs(case: Case, videos: Tensor) -> Tensor:
    """Raw outputs ``[n, K]`` of the target for altered videos ``[n, T, 3, H, W]``, put on the 8-bit grid first.

    Raises:
        ValueError: the case has no target.
    """
    if case.target is None:
        raise ValueError("the metric needs the target, and the case has none")
    return case.target(lossless.dequantise(lossless.quantise(videos)))


def survives(case: Case, videos: Tensor) -> float:
    """``kept`` of what the target says of altered videos ``[n, T, 3, H, W]``."""
    return kept(case, outputs(case, videos))


def kept(case: Case, found: Tensor) -> float:
    """1 where all raw outputs ``[n, K]`` meet the goal, else 0; NaN where one is not finite."""
    return float(case.goal.met(found).all()) if torch.isfinite(found).all() else float("nan")
