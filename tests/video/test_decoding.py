from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.local.replicas import H264, MJPEG, RED, VP9, XVID, film, level, write_pictures, write_video
from vcfe_bench.video import lossless
from vcfe_bench.video.decoding import square, write_lossless
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import PictureFolder
from vcfe_bench.video.timeline import Timeline, Undecodable, nearest, regular


def seen(path: Path, *indices: int) -> np.ndarray:
    return np.stack(list(VideoFile(path).pictures(indices)))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.avi", XVID),
        ("b.avi", MJPEG),
        ("c.mp4", H264),
        ("d.webm", VP9),
        ("e.mkv", {"codec": "ffv1", "pixels": "bgr0"}),
    ],
)
def test_frames_and_times_of_every_codec(tmp_path: Path, name: str, how: dict) -> None:
    write_video(tmp_path / name, film(12), rate=25, **how)
    timeline = VideoFile(tmp_path / name).timeline()
    assert len(timeline.ticks) == 12
    assert timeline.seconds == pytest.approx(11 / 25, abs=1e-3)
    frames = seen(tmp_path / name, 7, 3).astype(int)
    assert frames.shape == (2, 36, 64, 3)
    assert np.abs(frames[:, :, 40:].mean(axis=(1, 2, 3)) - [level(3), level(7)]).max() < 2
    assert np.abs(frames[:, 8:-8, 8:24, 0] - frames[:, 8:-8, 40:56, 0] - RED).mean() < 4


GREY = {**H264["options"], "color_range": "pc"}


@pytest.mark.parametrize(
    "how",
    [
        {**H264, "pixels": "yuv420p10le"},
        {"codec": "libx264", "pixels": "gray", "options": GREY},
        {"codec": "ffv1", "pixels": "gray"},
        {"codec": "ffv1", "pixels": "gray16le"},
    ],
)
def test_10_bit_and_grey(tmp_path: Path, how: dict) -> None:
    frames = film(4)
    frames[:] = frames[..., 2:]
    path = tmp_path / "video.mkv"
    write_video(path, frames, **how)
    assert np.abs(seen(path, 0, 3).astype(int) - frames[[0, 3]]).max() <= 2


@pytest.mark.parametrize(("height", "width"), [(35, 63), (3, 127), (36, 65)])
def test_odd_sizes(tmp_path: Path, height: int, width: int) -> None:
    write_video(tmp_path / "video.mkv", film(3, height, width), codec="ffv1", pixels="bgr0")
    assert np.array_equal(seen(tmp_path / "video.mkv", 0, 1, 2), film(3, height, width))


@pytest.mark.parametrize("turns", [1, 2, -1])
def test_a_rotation_in_the_container_is_applied(tmp_path: Path, turns: int) -> None:
    """``rotation`` is counterclockwise in degrees, like that of ``np.rot90``."""
    frames = film(2)
    write_video(tmp_path / "video.mp4", frames, rotation=90.0 * turns, **H264)
    upright = seen(tmp_path / "video.mp4", 0)[0].astype(int)
    expected = np.rot90(frames[0], turns)
    assert upright.shape == expected.shape
    assert np.abs(upright - expected).mean() < 3


def test_a_variable_frame_rate_is_in_the_ticks(tmp_path: Path) -> None:
    ticks = [0, 40, 80, 500, 540, 1000]
    write_video(tmp_path / "video.mkv", film(6), codec="ffv1", pixels="bgr0", ticks=ticks)
    timeline = VideoFile(tmp_path / "video.mkv").timeline()
    assert (timeline.ticks * timeline.tick * 1000).tolist() == ticks
    assert nearest(timeline, 5).tolist() == [0, 2, 3, 4, 5]


def test_a_given_frame_rate_overrides_the_file(tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", film(6), rate=30, **H264)
    assert VideoFile(tmp_path / "video.mp4", 10).timeline().seconds == pytest.approx(0.5)


def _noisy(path: Path, how: dict) -> bytes:
    rng = np.random.default_rng(0)
    frames = film(24, 96, 128) // 2 + rng.integers(0, 60, (24, 96, 128, 3), dtype=np.uint8)
    write_video(path, frames, **how)
    return path.read_bytes()


def _use(path: Path) -> None:
    source = VideoFile(path)
    list(source.pictures(range(len(source.timeline().ticks))))


@pytest.mark.parametrize(("suffix", "how"), [(".avi", XVID), (".avi", MJPEG), (".mp4", H264), (".webm", VP9)])
def test_a_truncated_file_is_reported(tmp_path: Path, suffix: str, how: dict) -> None:
    path = tmp_path / f"video{suffix}"
    data = _noisy(path, how)
    _use(path)
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(Undecodable):
        _use(path)


@pytest.mark.parametrize(("suffix", "how"), [(".avi", XVID), (".avi", MJPEG), (".mp4", H264)])
def test_damaged_frames_are_reported(tmp_path: Path, suffix: str, how: dict) -> None:
    """VP9 is left out: its decoder accepts any bytes."""
    path = tmp_path / f"video{suffix}"
    data = bytearray(_noisy(path, how))
    middle = len(data) // 2
    data[middle : middle + 500] = np.random.default_rng(1).bytes(500)
    path.write_bytes(data)
    with pytest.raises(Undecodable, match="damaged"):
        _use(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "the file is empty"), (b"hello " * 300, "not readable as a video")]
)
def test_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(Undecodable, match=message):
        VideoFile(tmp_path / "video.mp4").timeline()


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clip", film(5))
    source = PictureFolder(tmp_path / "clip", 25)
    assert source.timeline().seconds == pytest.approx(4 / 25)
    frames = np.stack(list(source.pictures({4, 1}))).astype(int)
    assert np.abs(frames[:, :, 40:].mean(axis=(1, 2, 3)) - [level(1), level(4)]).max() < 2
    (tmp_path / "clip" / "00003.jpg").write_bytes(b"no picture")
    with pytest.raises(Undecodable, match=r"damaged: 00003\.jpg"):
        list(source.pictures({2}))
    (tmp_path / "none").mkdir()
    with pytest.raises(Undecodable, match="no pictures"):
        PictureFolder(tmp_path / "none", 25).timeline()


@given(st.integers(2, 200), st.integers(2, 70))
def test_nearest_spreads_a_constant_rate_as_rounded_positions(count: int, frames: int) -> None:
    positions = np.linspace(0, count - 1, frames)
    picked = nearest(regular(count, Fraction(30000, 1001)), frames)
    assert (picked[0], picked[-1]) == (0, count - 1)
    assert (np.abs(picked - positions) <= 0.5 + 1e-9).all()
    clear = np.abs(positions % 1 - 0.5) > 1e-6
    assert np.array_equal(picked[clear], np.rint(positions[clear]))


@given(st.integers(2, 100), st.integers(2, 40), st.integers(1, 5))
def test_nearest_steps_and_stays_at_the_end(count: int, frames: int, step: int) -> None:
    picked = nearest(regular(count, Fraction(50)), frames, step)
    assert picked.tolist() == [min(step * number, count - 1) for number in range(frames)]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(2, 12))
def test_nearest_is_nearest_in_time(gaps: list[int], frames: int) -> None:
    ticks = np.cumsum([0, *gaps])
    picked = nearest(Timeline(ticks + 77, Fraction(1, 90000)), frames)
    for number, index in enumerate(picked):
        wanted = Fraction(int(ticks[-1]) * number, frames - 1)
        distances = [abs(int(tick) - wanted) for tick in ticks]
        assert distances[index] == min(distances)
        assert index == distances.index(min(distances))


def test_square_crops_the_centre() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    assert (square(picture, 20)[:, 2:-2] == 200).all()
    assert (square(picture.transpose(1, 0, 2), 20)[2:-2] == 200).all()
    assert np.array_equal(square(picture[:, 30:70], 40), picture[:, 30:70])


def test_square_antialiases_when_it_shrinks() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[::2] = 200
    assert np.abs(square(fine, 8).astype(int) - 100).max() <= 12


@pytest.mark.parametrize(("height", "width"), [(288, 352), (290, 16), (16, 354), (512, 512)])
def test_lossless_files_of_any_size(tmp_path: Path, height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    write_lossless(tmp_path / "video.mkv", pixels, 8.0)
    assert np.array_equal(lossless.read(tmp_path / "video.mkv").permute(0, 2, 3, 1).numpy(), pixels)
