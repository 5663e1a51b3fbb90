"""Decoding of recorded videos: container files of any codec, and folders of pictures.

Frames are upright 8-bit RGB and come with their presentation times. Grey and 10-bit video, odd frame sizes, rotation
flags of the container and variable frame rates are handled here. This module does not import torch, so that worker
processes start fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
"""Suffixes of the pictures in a folder of frames."""
COMPLETE = 0.9
"""Smallest fraction of the frames announced by the container that must be decodable."""
EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int"
"""Options of FFmpeg's ``scale`` filter with which a conversion to RGB gives the same bytes on every CPU."""

MAX_SINGLE_SLICE = (352, 288)
"""Width and height of the largest frame that FFmpeg's FFV1 encoder accepts in a single slice."""


class Undecodable(Exception):
    """The video cannot be decoded. The message says why."""


@dataclass(frozen=True)
class Timeline:
    """Presentation times of the frames: strictly increasing int64 ``ticks`` ``[n]``, in units of ``tick`` seconds."""

    ticks: np.ndarray
    tick: Fraction

    @property
    def seconds(self) -> float:
        """Time between the first and the last frame."""
        return float((self.ticks[-1] - self.ticks[0]) * self.tick)


class Source(Protocol):
    """A video that can be decoded into frames."""

    @property
    def path(self) -> Path:
        """The file or folder."""

    def timeline(self) -> Timeline:
        """Presentation times of all frames, at least one.

        Raises:
            Undecodable: the video is damaged or empty, or the file is not a video.
        """

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        """The frames at ``indices`` in increasing order, uint8 ``[H, W, 3]``.

        Raises:
            Undecodable: the video is damaged, or has too few frames.
        """


@dataclass(frozen=True)
class VideoFile:
    """A file that FFmpeg can read. ``fps`` (frames per second) overrides the presentation times of the file."""

    path: Path
    fps: float | None = None

    def timeline(self) -> Timeline:
        stamps: list[int | None] = []
        with self._open() as container:
            stream = container.streams.video[0]
            announced = stream.frames
            tick = stream.time_base or Fraction(1, 25)
            average_fps = stream.average_rate or Fraction(25)
            for frame in _decoded(container):
                stamps.append(frame.pts)
            length = container.duration if len(container.streams) == 1 else None
        if not stamps:
            raise Undecodable("no frame can be decoded")
        if len(stamps) < COMPLETE * announced:
            raise Undecodable(f"damaged: {len(stamps)} of {announced} frames can be decoded")
        if self.fps is not None:
            return regular(len(stamps), Fraction(self.fps).limit_denominator(1001))
        ticks = np.array([-1 if stamp is None else stamp for stamp in stamps], dtype=np.int64)
        if None in stamps or (np.diff(ticks) <= 0).any():
            return regular(len(stamps), average_fps)
        timeline = Timeline(ticks, tick)
        duration = timeline.seconds * len(stamps) / max(len(stamps) - 1, 1)
        if not announced and length and len(stamps) > 1 and duration < COMPLETE * length / av.time_base:
            raise Undecodable(f"damaged: {duration:.1f} of {length / av.time_base:.1f} s can be decoded")
        return timeline

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        convert, wanted, last = _RGBConverter(), set(indices), max(indices)
        with self._open() as container:
            for index, frame in enumerate(_decoded(container)):
                if index in wanted:
                    yield np.rot90(convert(frame), round(frame.rotation / 90))
                if index == last:
                    return
        raise Undecodable(f"damaged: frame {last} is missing")

    def _open(self) -> av.container.InputContainer:
        if not self.path.stat().st_size:
            raise Undecodable("the file is empty")
        try:
            container = av.open(str(self.path))
        except av.FFmpegError as error:
            raise Undecodable(f"not readable as a video: {error.strerror}") from None
        if not container.streams.video:
            container.close()
            raise Undecodable("contains no video")
        context = container.streams.video[0].codec_context
        context.options, context.thread_count = {"err_detect": "explode"}, 1
        return container


@dataclass(frozen=True)
class PictureFolder:
    """A folder with one picture per frame, ordered by file name and shown at ``fps`` frames per second."""

    path: Path
    fps: float

    def timeline(self) -> Timeline:
        if not (files := self._files()):
            raise Undecodable("the folder contains no pictures")
        return regular(len(files), Fraction(self.fps).limit_denominator(1001))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        files = self._files()
        for index in sorted(indices):
            with files[index].open("rb") as file:
                yield picture(file, files[index].name)

    def _files(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in PICTURES)


def regular(frames: int, fps: Fraction) -> Timeline:
    """The timeline of ``frames`` frames at a constant frame rate."""
    return Timeline(np.arange(frames, dtype=np.int64), 1 / fps)


def picture(file: object, name: str) -> np.ndarray:
    """Decode a picture to uint8 ``[H, W, 3]``; ``file`` is opened in binary mode.

    Raises:
        Undecodable: the file is damaged or not a picture. ``name`` identifies it in the message.
    """
    try:
        with Image.open(file) as image:  # type: ignore[arg-type]
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Undecodable(f"damaged: {name}: {error}") from None


def nearest(timeline: Timeline, frames: int, step: int | None = None) -> np.ndarray:
    """Indices ``[frames]`` of the frames nearest in time to a regular grid; in a tie the earlier frame is taken.

    Without ``step`` the grid spans the video from the first frame to the last. With it, grid points are ``step`` mean
    frame intervals apart and the last frame is repeated beyond the end. Integer arithmetic makes the result exact.
    """
    elapsed = timeline.ticks - timeline.ticks[0]
    parts = frames - 1 if step is None else len(elapsed) - 1
    positions = np.arange(frames, dtype=np.int64) * (1 if step is None else step)
    grid = np.minimum(positions * elapsed[-1], elapsed[-1] * parts)
    times = elapsed * parts
    after = np.searchsorted(times, grid).clip(1, len(times) - 1)
    earlier = grid - times[after - 1] <= times[after] - grid
    return after - earlier


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """Centre crop of a picture ``[H, W, 3]`` to a square, resized to ``[size, size, 3]`` with antialiasing."""
    box = middle(*picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box))


def middle(height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest centred square, in pixels."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(video=0)
    except av.FFmpegError as error:
        raise Undecodable(f"damaged: {error.strerror}") from None


class _RGBConverter:
    """Converts decoded frames to uint8 ``[H, W, 3]`` with an FFmpeg filter.

    The flags of ``EXACT`` are not in the ``Interpolation`` of PyAV before 18. The filter is built again when frames
    change their form.
    """

    def __init__(self) -> None:
        self._form: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        form = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if form != self._form:
            self._form, self._graph = form, _to_rgb(frame)
        self._graph.push(frame)
        return self._graph.pull().to_ndarray()


def _to_rgb(frame: av.VideoFrame) -> av.filter.Graph:
    """A filter graph that converts frames like this one."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    scale, form = graph.add("scale", EXACT), graph.add("format", "pix_fmts=rgb24")
    graph.link_nodes(source, scale, form, graph.add("buffersink")).configure()
    return graph


def write_lossless(path: Path, frames: np.ndarray, fps: float) -> None:
    """Store a uint8 ``[T, H, W, 3]`` video losslessly, with checksums. FFV1 has no 8-bit RGB format but ``bgr0``."""
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        height, width = frames.shape[1:3]
        slices = "4" if width > MAX_SINGLE_SLICE[0] or height > MAX_SINGLE_SLICE[1] else "1"
        stream = container.add_stream(
            "ffv1",
            rate=Fraction(fps).limit_denominator(1001),
            options={"level": "3", "slicecrc": "1", "slices": slices},
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()
        for frame in frames:
            packed = reformatter.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format="bgr0")
            container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
