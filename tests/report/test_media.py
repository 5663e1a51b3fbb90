"""Sheets of frames have exactly the stored pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.report.worlds import lights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.report.media import Media, Sheet, tile
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless


def cut(image: np.ndarray, sheet: Sheet) -> np.ndarray:
    """The frames of a sheet as the page cuts them out, ``[T, 3, H, W]``."""
    frames = []
    for frame in range(sheet.frames):
        left, top = frame % sheet.columns * sheet.width, frame // sheet.columns * sheet.height
        frames.append(image[top : top + sheet.height, left : left + sheet.width].transpose(2, 0, 1))
    return np.stack(frames)


@given(st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30)), st.integers(0, 2**32))
def test_frames_come_back_from_a_near_square(shape: tuple[int, int, int], seed: int) -> None:
    frames, height, width = shape
    pixels = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (frames, 3, height, width), np.uint8))
    image = tile(pixels)
    columns = image.shape[1] // width
    assert np.array_equal(cut(image, Sheet("", columns, frames, width, height)), pixels.numpy())
    assert max(image.shape[:2]) <= (height * width * frames) ** 0.5 + max(width, height)


def test_written_sheets_hold_the_stored_pixels_and_each_content_once(tmp_path: Path) -> None:
    store = RunDirectory(lights(tmp_path / "run", "toy_push"))
    media = Media(tmp_path / "report")
    records = store.table("records.parquet").query("status == 'ok'").to_dict("records")
    for record in records:
        sheet = media.sheet(store, record["video"], record["video_sha256"])
        with Image.open(tmp_path / "report" / sheet.file) as image:
            assert image.format == "PNG"
            pixels = cut(np.asarray(image), sheet)
        assert lossless.content_hash(torch.from_numpy(pixels)) == record["video_sha256"]
    assert len(list((tmp_path / "report" / "media").iterdir())) == len({r["video_sha256"] for r in records})


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    store = RunDirectory(lights(tmp_path / "run", "toy_push", limit=2))
    with pytest.raises(UsageError, match=r"videos/nothing\.mkv is missing or damaged"):
        Media(tmp_path).sheet(store, "nothing", "0" * 64)
