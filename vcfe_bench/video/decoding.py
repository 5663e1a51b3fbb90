"""Clips: the centre squares of the frames of a video, and lossless storage that does not import torch."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

from vcfe_bench.video.timeline import Source, Undecodable

MAX_SINGLE_SLICE = (352, 288)
"""Width and height of the largest frame that FFmpeg's FFV1 encoder accepts in a single slice."""
STORED_RATES = (Fraction(1, 1001), Fraction(100_000))
"""Smallest and largest frame rate that a lossless file can have."""


def clip(source: Source, picked: np.ndarray, size: int) -> tuple[int, int, np.ndarray]:
    """Height and width of a video, and the centre squares of the frames ``picked``, uint8 ``[T, size, size, 3]``.

    Raises:
        Undecodable: the video is damaged, or its frames differ in size.
    """
    pictures: list[np.ndarray] = []
    shape: tuple[int, ...] = ()
    for picture in source.pictures(set(picked.tolist())):
        shape = shape or picture.shape
        if picture.shape != shape:
            raise Undecodable(
                f"frames of different sizes: {shape[1]}x{shape[0]}, {picture.shape[1]}x{picture.shape[0]}"
            )
        pictures.append(square(picture, size))
    _, position = np.unique(picked, return_inverse=True)
    return shape[0], shape[1], np.stack(pictures)[position]


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """Centre crop of a picture ``[H, W, 3]`` to a square, resized to ``[size, size, 3]`` with antialiasing."""
    box = middle(*picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box))


def middle(height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest centred square, in pixels."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def write_lossless(path: Path, frames: np.ndarray, fps: float) -> None:
    """Store a uint8 ``[T, H, W, 3]`` video losslessly, with checksums. FFV1 has no 8-bit RGB format but ``bgr0``."""
    slowest, fastest = STORED_RATES
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        height, width = frames.shape[1:3]
        slices = "4" if width > MAX_SINGLE_SLICE[0] or height > MAX_SINGLE_SLICE[1] else "1"
        stream = container.add_stream(
            "ffv1",
            rate=min(max(Fraction(fps).limit_denominator(1001), slowest), fastest),
            options={"level": "3", "slicecrc": "1", "slices": slices},
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()
        for frame in frames:
            packed = reformatter.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format="bgr0")
            container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
