"""Checks on the videos that metrics receive."""

from __future__ import annotations

import torch
from torch import Tensor

from vcfe_bench.plugins.metric import Case, Footage


def checked(video: Tensor) -> Tensor:
    """The video itself, if it is ``[T, 3, H, W]`` in [0, 1]; NaN is let through.

    Raises:
        ValueError: another layout, or values on another scale such as [-1, 1] or [0, 255].
    """
    if video.ndim != 4 or video.shape[1] != 3:
        raise ValueError(f"a video is [T, 3, H, W], got {list(video.shape)}")
    if bool((video < 0).any() or (video > 1).any()):
        raise ValueError(f"a video's values lie in [0, 1], got [{float(video.min()):g}, {float(video.max()):g}]")
    return video


def video_pair(case: Case) -> tuple[Tensor, Tensor] | None:
    """Original and counterfactual, both ``[T, 3, H, W]`` float32 in [0, 1]; None if a value is not finite.

    Raises:
        ValueError: the shapes differ, or a video fails ``checked``.
    """
    return case.edited.shared(with_original)


def with_original(footage: Footage) -> tuple[Tensor, Tensor] | None:
    """As ``video_pair``, for a video that need not be a case's counterfactual: the original, then the video."""
    original, counterfactual = checked(footage.sample.video).float(), checked(footage.video).float()
    if original.shape != counterfactual.shape:
        raise ValueError(f"the original is {list(original.shape)}, the counterfactual {list(counterfactual.shape)}")
    finite = torch.isfinite(original).all() and torch.isfinite(counterfactual).all()
    return (original, counterfactual) if finite else None
