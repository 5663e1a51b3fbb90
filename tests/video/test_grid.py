"""Files of many containers, codecs, display matrices, pixel aspects and ranges are decoded to what FFmpeg shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.video.made_files import MATRICES, Made, ffmpeg_shows, film, grid, orient
from vcfe_bench.video.sources import VIDEOS, source
from vcfe_bench.video.timeline import Undecodable

GRID = list(grid())
TURNS = {
    "upright": lambda x: x,
    "right": lambda x: np.rot90(x, -1),
    "over": lambda x: np.rot90(x, 2),
    "left": lambda x: np.rot90(x, 1),
    "mirrored": np.fliplr,
    "flipped": np.flipud,
    "transposed": lambda x: x.swapaxes(0, 1),
    "transversed": lambda x: np.rot90(x, 2).swapaxes(0, 1),
}
"""What the display matrices do to a picture."""


def shown(path: Path) -> np.ndarray:
    """All frames, uint8 ``[T, H, W, 3]``."""
    video = source(path)
    return np.stack(list(video.pictures(range(len(video.timeline().ticks)))))


def test_the_grid_is_large() -> None:
    assert len(set(map(str, GRID))) == len(GRID) >= 150
    assert {made.suffix for made in GRID} >= {".mp4", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".flv"}
    assert {made.suffix for made in GRID} <= VIDEOS


@pytest.mark.parametrize("suffix", sorted({made.suffix for made in GRID}))
def test_files_are_decoded_to_what_ffmpeg_shows(tmp_path: Path, suffix: str) -> None:
    for made in GRID:
        if made.suffix == suffix:
            path = made.write(tmp_path)
            expected, found = ffmpeg_shows(path).astype(int), shown(path)
            assert found.shape == expected.shape, str(made)
            assert np.abs(found - expected).max() <= 3, str(made)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(64, 45), Fraction(3, 4)])
def test_the_picture_that_was_stored_is_shown(tmp_path: Path, matrix: str, full: bool, aspect: Fraction) -> None:
    """The orientation, aspect and range are those of the picture before it was encoded."""
    found = shown(Made(".mp4", "libx264", "yuv444p", matrix, aspect, full).write(tmp_path))[0]
    upright = TURNS[matrix](film(3, 48, 32)[0])
    turned = matrix in ("right", "left", "transposed", "transversed")
    size = (int(upright.shape[1] * (1 / aspect if turned else aspect)), upright.shape[0])
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(upright)).resize(size, Image.Resampling.BICUBIC))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_a_disc_of_wide_pixels_is_round(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128]
    disc = 255 * (np.hypot((x - 63.5) * 64 / 45, y - 63.5) < 45).astype(np.uint8)
    made = Made(".mp4", "libx264", aspect=Fraction(64, 45), size=(128, 128))
    found = shown(made.write(tmp_path, np.repeat(disc[None, ..., None], 3, axis=3)))[0][..., 0] > 128
    assert found.any(axis=0).sum() == pytest.approx(found.any(axis=1).sum(), abs=2)


def test_unlikely_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Undecodable, match="unlikely pixels: 20:1 wide"):
        shown(Made(".mp4", "libx264", aspect=Fraction(20)).write(tmp_path))


@pytest.mark.parametrize("alpha", [255, 254, 0])
def test_transparent_pixels_are_refused(tmp_path: Path, alpha: int) -> None:
    pictures = np.concatenate([film(3, 48, 32), np.full((3, 32, 48, 1), 255, np.uint8)], axis=-1)
    pictures[1, 5, 5, 3] = alpha
    path = Made(".mov", "qtrle", "argb").write(tmp_path, pictures)
    if alpha == 255:
        assert np.array_equal(shown(path), pictures[..., :3])
    else:
        with pytest.raises(Undecodable, match="transparent pixels: put the video on a background"):
            shown(path)


def test_an_odd_angle_is_refused(tmp_path: Path) -> None:
    path = Made(".mp4", "libx264").write(tmp_path)
    orient(path, (0.866, 0.5, -0.5, 0.866))
    with pytest.raises(Undecodable, match="turns it by 30 degrees"):
        shown(path)


def test_a_matrix_of_zeros_is_ignored(tmp_path: Path) -> None:
    path = Made(".mp4", "libx264").write(tmp_path)
    upright = shown(path)
    orient(path, (0, 0, 0, 0))
    assert np.array_equal(shown(path), upright)


def test_interlaced_and_high_dynamic_range_are_told(tmp_path: Path) -> None:
    interlaced = Made(".mkv", "mpeg2video", options={"flags": "+ildct+ilme"}).write(tmp_path)
    assert source(interlaced).timeline().remarks == ("interlaced, not deinterlaced",)
    for number, name in ((16, "PQ"), (18, "HLG")):
        options = {"x264-params": f"transfer={'smpte2084' if number == 16 else 'arib-std-b67'}"}
        high = Made(".mp4", "libx264", "yuv420p10le", options=options).write(tmp_path)
        assert source(high).timeline().remarks == (f"high dynamic range ({name}), not converted to standard range",)
