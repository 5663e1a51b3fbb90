"""Running the target again on altered counterfactuals."""

from __future__ import annotations

import torch
from torch import Tensor

from vcfe_bench.plugins.metric import Case
from vcfe_bench.video import lossless


def flipped(case: Case) -> bool:
    """Whether the target's prediction for the stored counterfactual meets the goal."""
    return bool(torch.isfinite(case.after).all()) and bool(case.goal.met(case.after[None])[0])


@torch.no_grad()
def requery(case: Case, videos: Tensor) -> Tensor:
    """Raw outputs ``[n, K]`` of the target for altered videos ``[n, T, 3, H, W]``, quantised to 8 bits first.

    Raises:
        ValueError: the case has no target.
    """
    if case.target is None:
        raise ValueError("the metric needs the target, and the case has none")
    return case.target(lossless.dequantise(lossless.quantise(videos)))


def survives(case: Case, videos: Tensor) -> float:
    """1 where the target's predictions for all altered videos ``[n, T, 3, H, W]`` meet the goal, as ``all_met``."""
    return all_met(case, requery(case, videos))


def all_met(case: Case, outputs: Tensor) -> float:
    """1 where all raw outputs ``[n, K]`` meet the goal, else 0; NaN where one is not finite."""
    return float(case.goal.met(outputs).all()) if torch.isfinite(outputs).all() else float("nan")
