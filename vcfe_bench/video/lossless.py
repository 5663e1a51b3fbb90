"""Lossless video files: FFV1 in Matroska, 8-bit RGB. Equal videos give files of equal bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from vcfe_bench.video import decoding
from vcfe_bench.video.sources import source
from vcfe_bench.video.timeline import Undecodable

SUFFIX = ".mkv"
NOMINAL = 25.0
"""Frames per second of a video whose times are of no interest."""


def quantise(video: Tensor) -> Tensor:
    """uint8 pixels of a float video: clamped to [0, 1], scaled by 255, rounded half up. It must not contain NaN."""
    return (video.detach().double().clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8).cpu()


def dequantise(pixels: Tensor) -> Tensor:
    """float32 video in [0, 1] of uint8 pixels, from which ``quantise`` recovers the same pixels."""
    return pixels.float() / 255


def content_hash(pixels: Tensor) -> str:
    """SHA-256 of the shape and bytes of a uint8 ``[T, 3, H, W]`` video."""
    shape = "x".join(map(str, pixels.shape))
    return hashlib.sha256(shape.encode() + b"\0" + pixels.contiguous().numpy().tobytes()).hexdigest()


def write(path: Path, pixels: Tensor, fps: float) -> None:
    """Store a uint8 ``[T, 3, H, W]`` video losslessly."""
    decoding.write_lossless(path, pixels.permute(0, 2, 3, 1).contiguous().numpy(), fps)


def read(path: Path) -> Tensor:
    """The uint8 ``[T, 3, H, W]`` pixels of a stored video.

    Raises:
        OSError: the file does not exist or does not contain a video.
    """
    reformatter = VideoReformatter()
    try:
        with av.open(str(path)) as container:
            frames = [reformatter.reformat(frame, format="rgb24").to_ndarray() for frame in container.decode(video=0)]
    except av.error.FFmpegError as error:
        raise OSError(f"{path} cannot be read as a video") from error
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def read_foreign(path: Path) -> Tensor:
    """The uint8 ``[T, 3, H, W]`` pixels of a video that another program wrote, as a player shows it.

    All frames are read, whatever their times.

    Raises:
        OSError: the file does not exist, or cannot be read as a whole.
    """
    video = source(path, NOMINAL)
    try:
        frames = list(video.pictures(range(len(video.timeline().ticks))))
    except Undecodable as error:
        raise OSError(f"{path} cannot be read as a video: {error}") from None
    if len({frame.shape for frame in frames}) > 1:
        raise OSError(f"{path} cannot be read as a video: its frames differ in size")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
