"""Original, counterfactual and difference side by side in one MP4 video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

GAP = 4
"""Width of the white bars between the three, in pixels."""


def side_by_side(original: Tensor, counterfactual: Tensor) -> Tensor:
    """Two uint8 ``[T, 3, H, W]`` videos and their difference as one uint8 ``[T, 3, H, W']`` video.

    The difference is grey: the sum of absolute differences over the channels, scaled so that the greatest of the video
    is white.
    """
    line = torch.full((*original.shape[:3], GAP), 255, dtype=torch.uint8)
    return torch.cat([original, line, counterfactual, line, difference(original, counterfactual)], dim=3)


def difference(original: Tensor, counterfactual: Tensor) -> Tensor:
    """Where two uint8 ``[T, 3, H, W]`` videos differ, as a grey one of the same shape; see ``side_by_side``."""
    summed = (counterfactual.int() - original.int()).abs().sum(dim=1, keepdim=True)
    return (255 * summed / summed.max().clamp_min(1)).round().to(torch.uint8).expand_as(original)


def write_mp4(path: Path, pixels: Tensor, fps: float) -> None:
    """Write a uint8 ``[T, 3, H, W]`` video as H.264 with 4:2:0 chroma subsampling: for viewing, since it is lossy.

    4:2:0 needs even sides, so the last row or column is repeated where a side is odd.
    """
    height, width = pixels.shape[2:]
    frames = np.pad(pixels.permute(0, 2, 3, 1).numpy(), ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
