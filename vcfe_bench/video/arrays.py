"""Videos that are stored as one NumPy array."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfe_bench.video.display import check_size
from vcfe_bench.video.timeline import Timeline, Undecodable, regular


@dataclass(frozen=True)
class ArrayFile:
    """A ``.npy`` file with frames ``[T, H, W, 3]`` or ``[T, 3, H, W]``: uint8, or floating point in [0, 1].

    The frames are shown at ``fps`` frames per second.
    """

    path: Path
    fps: float

    def timeline(self) -> Timeline:
        return regular(len(self._frames()), self.fps)

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        frames = self._frames()
        for index in sorted(indices):
            yield _pixels(frames[index])

    def _frames(self) -> np.ndarray:
        """The array ``[T, H, W, 3]``, which stays in the file."""
        try:
            stored = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise Undecodable(f"not readable as an array: {str(error).partition(chr(10))[0]}") from None
        if not isinstance(stored, np.ndarray) or stored.ndim != 4 or 3 not in (stored.shape[1], stored.shape[3]):
            shape = list(getattr(stored, "shape", ()))
            raise Undecodable(f"an array of shape {shape} instead of [frames, height, width, 3]")
        if stored.shape[1] == stored.shape[3]:
            raise Undecodable(f"an array of shape {list(stored.shape)}, in which it is not clear where the colours are")
        if stored.dtype != np.uint8 and stored.dtype.kind != "f":
            raise Undecodable(f"an array of {stored.dtype} instead of uint8, or floating point in [0, 1]")
        frames = stored if stored.shape[3] == 3 else stored.transpose(0, 2, 3, 1)
        if not len(frames):
            raise Undecodable("an array without frames")
        check_size(frames.shape[2], frames.shape[1])
        return frames


def _pixels(frame: np.ndarray) -> np.ndarray:
    """uint8 pixels; floating-point ones are scaled by 255 and rounded half up.

    Raises:
        Undecodable: pixels outside [0, 1], or NaN.
    """
    if frame.dtype == np.uint8:
        return np.array(frame)
    exact = np.asarray(frame, dtype=np.float64)
    if not (exact >= 0).all() or not (exact <= 1).all():
        raise Undecodable(f"floating-point pixels from {exact.min():g} to {exact.max():g} instead of [0, 1]")
    return np.floor(exact * 255 + 0.5).astype(np.uint8)
