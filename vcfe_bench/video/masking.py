"""Masking of tubes: boxes in the frames of a video that are replaced by its mean colour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def inside(boxes: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Pixels whose centre lies in the boxes ``[T, 4]``, as bool ``[T, H, W]``; ``size`` is the height and width.

    A box is left, top, right and bottom in pixels; a NaN box contains no pixel.
    """
    left, top, right, bottom = torch.from_numpy(boxes).T[:, :, None, None]
    y, x = (torch.arange(side) + 0.5 for side in size)
    y = y[:, None]
    return (left <= x) & (x < right) & (top <= y) & (y < bottom)


def masked(video: Tensor, tubes: np.ndarray) -> Tensor:
    """The video ``[T, 3, H, W]`` with its mean colour in place of the tubes ``[k, T, 4]``, k ≥ 1."""
    height, width = video.shape[2:]
    mask = torch.stack([inside(boxes, (height, width)) for boxes in tubes]).any(dim=0)
    return torch.where(mask[:, None], video.mean(dim=(0, 2, 3), keepdim=True), video)
