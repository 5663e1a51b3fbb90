"""Arrays of frames are read as they are meant, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcfe_bench.video.sources import source
from vcfe_bench.video.timeline import Undecodable

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)


def frames(path: Path) -> np.ndarray:
    video = source(path)
    return np.stack(list(video.pictures(range(len(video.timeline().ticks)))))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_are_read_exactly(tmp_path: Path, dtype: Any, channels_first: bool, fortran: bool) -> None:
    stored = PIXELS if dtype == np.uint8 else (PIXELS / 255).astype(dtype)
    stored = stored.transpose(0, 3, 1, 2) if channels_first else stored
    np.save(tmp_path / "a.npy", np.asfortranarray(stored) if fortran else stored)
    assert np.array_equal(frames(tmp_path / "a.npy"), PIXELS)


REFUSED: dict[str, tuple[np.ndarray, str]] = {
    "floats up to 255": (PIXELS.astype(np.float32), r"floating-point pixels from 0 to 255 instead of \[0, 1\]"),
    "floats in [-1, 1]": (PIXELS / 127.5 - 1, r"pixels from -1 to 1"),
    "not numbers": (np.full((2, 4, 5, 3), np.nan), "floating-point pixels from nan"),
    "other integers": (PIXELS.astype(np.int64), "int64 instead of uint8"),
    "grey": (PIXELS[..., 0], r"shape \[5, 12, 16\] instead of"),
    "four channels": (np.zeros((2, 4, 5, 4), np.uint8), r"shape \[2, 4, 5, 4\]"),
    "colours in two places": (np.zeros((2, 3, 5, 3), np.uint8), "not clear where the colours are"),
    "no frames": (np.zeros((0, 4, 5, 3), np.uint8), "without frames"),
    "objects": (np.array([{"a": 1}], dtype=object), "not readable as an array"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_arrays_are_refused(tmp_path: Path, case: str) -> None:
    stored, message = REFUSED[case]
    np.save(tmp_path / "a.npy", stored)
    with pytest.raises(Undecodable, match=message):
        frames(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    path = tmp_path / "a.npy"
    path.write_bytes(path.read_bytes()[:-700] if content is None else content)
    with pytest.raises(Undecodable, match="not readable as an array"):
        frames(path)
