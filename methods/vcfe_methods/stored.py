"""Videos as a run stores them: clamped to [0, 1] and rounded to 8 bits, which is what the target is judged on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Target
from vcfe_bench.video.lossless import dequantise, quantise


def as_stored(videos: Tensor) -> Tensor:
    """The videos that will be read back after ``videos`` have been stored."""
    return dequantise(quantise(videos))


def all_met(goals: Sequence[Goal], output: Tensor) -> list[bool]:
    """Whether each row of ``output`` ``[B, K]`` meets its goal."""
    rows = output.detach().unsqueeze(1).unbind()
    return [bool(goal.met(row)) for goal, row in zip(goals, rows, strict=True)]


@torch.no_grad()
def reached(goals: Sequence[Goal], target: Target, videos: Tensor) -> list[bool]:
    """Whether each goal is met by its video as it will be stored."""
    return all_met(goals, target(as_stored(videos)))
