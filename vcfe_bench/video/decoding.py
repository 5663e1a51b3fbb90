"""Recorded videos as people have them: container files of any codec, and folders of pictures.

Frames come upright, in RGB with 8 bits, with the ticks at which they are shown: grey and 10-bit video, odd sizes, a
rotation that only the container knows of, and a variable frame rate need no care from the caller. Nothing here imports
torch, so that worker processes start fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
"""Suffixes of the pictures that a folder of frames may hold."""
COMPLETE = 0.9
"""Least share of the frames a container promises that has to be there."""
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
"""Conversion to RGB that gives the same bytes on every CPU."""

WIDEST, HIGHEST = 352, 288
"""Largest frame that FFmpeg's FFV1 encoder takes in one slice."""


class Undecodable(Exception):
    """A video cannot be used; the message says why."""


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video are shown: rising ``ticks`` ``[n]``, int64, of ``tick`` seconds each."""

    ticks: np.ndarray
    tick: Fraction

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last."""
        return float((self.ticks[-1] - self.ticks[0]) * self.tick)


class Source(Protocol):
    """Something that can be decoded to frames."""

    @property
    def path(self) -> Path:
        """The file or folder."""

    def timeline(self) -> Timeline:
        """When the frames are shown, one or more.

        Raises:
            Undecodable: damaged, empty, or no video.
        """

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        """The frames at ``indices`` in rising order, uint8 ``[H, W, 3]``.

        Raises:
            Undecodable: damaged, or there are not so many frames.
        """


@dataclass(frozen=True)
class VideoFile:
    """A file that FFmpeg reads. ``rate`` (frames per second) overrules the times that the file gives."""

    path: Path
    rate: float | None = None

    def timeline(self) -> Timeline:
        stamps: list[int | None] = []
        with self._open() as container:
            stream = container.streams.video[0]
            promised = stream.frames
            tick = stream.time_base or Fraction(1, 25)
            rate = stream.average_rate or Fraction(25)
            for frame in _decoded(container):
                stamps.append(frame.pts)
            length = container.duration if len(container.streams) == 1 else None
        if not stamps:
            raise Undecodable("no frame can be decoded")
        if len(stamps) < COMPLETE * promised:
            raise Undecodable(f"damaged: {len(stamps)} of {promised} frames can be decoded")
        if self.rate is not None:
            return regular(len(stamps), Fraction(self.rate).limit_denominator(1001))
        ticks = np.array([-1 if stamp is None else stamp for stamp in stamps], dtype=np.int64)
        if None in stamps or (np.diff(ticks) <= 0).any():
            return regular(len(stamps), rate)
        found = Timeline(ticks, tick)
        shown = found.seconds * len(stamps) / max(len(stamps) - 1, 1)
        if not promised and length and len(stamps) > 1 and shown < COMPLETE * length / av.time_base:
            raise Undecodable(f"damaged: {shown:.1f} of {length / av.time_base:.1f} s can be decoded")
        return found

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        reformatter, wanted, last = VideoReformatter(), set(indices), max(indices)
        with self._open() as container:
            for index, frame in enumerate(_decoded(container)):
                if index in wanted:
                    rgb = reformatter.reformat(frame, format="rgb24", interpolation=EXACT, threads=1)
                    yield np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
                if index == last:
                    return
        raise Undecodable(f"damaged: no frame {last}")

    def _open(self) -> av.container.InputContainer:
        if not self.path.stat().st_size:
            raise Undecodable("the file is empty")
        try:
            container = av.open(str(self.path))
        except av.FFmpegError as error:
            raise Undecodable(f"not readable as a video: {error.strerror}") from None
        if not container.streams.video:
            container.close()
            raise Undecodable("holds no video")
        context = container.streams.video[0].codec_context
        context.options, context.thread_count = {"err_detect": "explode"}, 1
        return container


@dataclass(frozen=True)
class PictureFolder:
    """A folder with one picture per frame, in the order of their names, ``rate`` a second."""

    path: Path
    rate: float

    def timeline(self) -> Timeline:
        if not (files := self._files()):
            raise Undecodable("the folder holds no pictures")
        return regular(len(files), Fraction(self.rate).limit_denominator(1001))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        files = self._files()
        for index in sorted(indices):
            with files[index].open("rb") as file:
                yield picture(file, files[index].name)

    def _files(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in PICTURES)


def regular(frames: int, rate: Fraction) -> Timeline:
    """Frames at a constant rate."""
    return Timeline(np.arange(frames, dtype=np.int64), 1 / rate)


def picture(file: object, name: str) -> np.ndarray:
    """An encoded picture as uint8 ``[H, W, 3]``; ``file`` is open for reading bytes.

    Raises:
        Undecodable: damaged, or no picture; ``name`` says which.
    """
    try:
        with Image.open(file) as image:  # type: ignore[arg-type]
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Undecodable(f"damaged: {name}: {error}") from None


def nearest(timeline: Timeline, frames: int, step: int | None = None) -> np.ndarray:
    """Indices ``[frames]`` of the frames shown nearest to a regular grid of times; of two as near, the earlier.

    The grid is spread from the first frame to the last, or, with a ``step``, goes that many mean frame intervals at a
    time and stays at the last frame once it gets there. It is exact: no floating-point numbers are used.
    """
    since = timeline.ticks - timeline.ticks[0]
    parts = frames - 1 if step is None else len(since) - 1
    moves = np.arange(frames, dtype=np.int64) * (1 if step is None else step)
    wanted = np.minimum(moves * since[-1], since[-1] * parts)
    have = since * parts
    after = np.searchsorted(have, wanted).clip(1, len(have) - 1)
    earlier = wanted - have[after - 1] <= have[after] - wanted
    return after - earlier


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """The largest square in the middle of a picture ``[H, W, 3]``, scaled to ``[size, size, 3]`` without aliasing."""
    box = middle(*picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box))


def middle(height: int, width: int) -> tuple[float, float, float, float]:
    """The largest square in the middle: left, top, right, bottom in pixels."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(video=0)
    except av.FFmpegError as error:
        raise Undecodable(f"damaged: {error.strerror}") from None


def write_lossless(path: Path, frames: np.ndarray, fps: float) -> None:
    """Store uint8 ``[T, H, W, 3]`` losslessly. ``bgr0`` is FFV1's only 8-bit RGB; frames carry checksums."""
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        height, width = frames.shape[1:3]
        slices = "4" if width > WIDEST or height > HIGHEST else "1"
        stream = container.add_stream("ffv1", rate=rate, options={"level": "3", "slicecrc": "1", "slices": slices})
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()
        for frame in frames:
            packed = reformatter.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format="bgr0")
            container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
