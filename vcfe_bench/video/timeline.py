"""What a video is before it becomes a clip: frames with presentation times."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

SLOWEST, FASTEST = 1e-5, 2e4
"""Limits of the mean frame rate, in frames per second: from about one frame per day to high-speed cameras."""
MAX_PIXELS = 2**26
"""Largest frame that is decoded, in pixels (8192 × 8192). A small file can announce a frame that fills the memory."""


class Undecodable(Exception):
    """The video cannot be decoded. The message says why."""


@dataclass(frozen=True)
class Timeline:
    """Presentation times of the frames: strictly increasing int64 ``ticks`` ``[n]``, in units of ``tick`` seconds.

    ``remarks`` says what a user should know about the video although it can be used, such as that it is interlaced.
    """

    ticks: np.ndarray
    tick: Fraction
    remarks: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Time between the first and the last frame."""
        return float(int(self.ticks[-1] - self.ticks[0]) * self.tick)


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
        """The frames at ``indices`` in increasing order, uint8 ``[H, W, 3]``, upright and with square pixels.

        Raises:
            Undecodable: the video is damaged, has too few frames, or its frames cannot be converted.
        """


def regular(frames: int, fps: float | Fraction, remarks: tuple[str, ...] = ()) -> Timeline:
    """The timeline of ``frames`` frames at a constant frame rate.

    Raises:
        Undecodable: the rate is outside ``SLOWEST`` to ``FASTEST``.
    """
    if not SLOWEST <= fps <= FASTEST:
        raise _unlikely(float(fps))
    if isinstance(fps, Fraction):
        interval = 1 / fps
    else:
        interval = 1 / Fraction(fps).limit_denominator(1001) if fps >= 1 else Fraction(1 / fps).limit_denominator(1001)
    return Timeline(np.arange(frames, dtype=np.int64), interval, remarks)


def likely(timeline: Timeline) -> Timeline:
    """The timeline itself.

    Raises:
        Undecodable: its mean frame rate is outside ``SLOWEST`` to ``FASTEST``.
    """
    intervals = len(timeline.ticks) - 1
    if intervals and not SLOWEST <= intervals / timeline.seconds <= FASTEST:
        raise _unlikely(intervals / timeline.seconds)
    return timeline


def _unlikely(fps: float) -> Undecodable:
    return Undecodable(f"unlikely frame rate: {fps:g} frames per second")


def nearest(timeline: Timeline, frames: int, step: int | None = None) -> np.ndarray:
    """Indices ``[frames]`` of the frames nearest in time to a regular grid; in a tie the earlier frame is taken.

    Without ``step`` the grid spans the video from the first frame to the last. With it, grid points are ``step`` mean
    frame intervals apart and the last frame is repeated beyond the end. Integer arithmetic makes the result exact,
    except for times so long that products would exceed 64 bits, which are rounded.
    """
    elapsed = timeline.ticks - timeline.ticks[0]
    parts = frames - 1 if step is None else len(elapsed) - 1
    positions = np.arange(frames, dtype=np.int64) * (1 if step is None else step)
    excess = (int(elapsed[-1]) * max(int(positions[-1]), parts)).bit_length() - 62
    elapsed >>= max(excess, 0)
    grid = np.minimum(positions * elapsed[-1], elapsed[-1] * parts)
    times = elapsed * parts
    after = np.searchsorted(times, grid).clip(1, len(times) - 1)
    earlier = grid - times[after - 1] <= times[after] - grid
    return after - earlier
