"""Pictures of every kind are converted right or refused, and folders of them are in natural order."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vcfe_bench.video.pictures import PictureFolder, natural_order, picture
from vcfe_bench.video.sources import is_video, source
from vcfe_bench.video.timeline import Undecodable

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY_16 = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
GREY_8 = np.rint(GREY_16 / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
ORIENTED = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1),
    7: RGB[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(RGB),
}
"""The upright picture for each orientation of the EXIF standard."""


def stored(image: Image.Image, form: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def read(image: Image.Image, form: str, **options: object) -> np.ndarray:
    return picture(stored(image, form, **options), "a")


def rgba(alpha: int) -> Image.Image:
    pixels = np.dstack([RGB, np.full((6, 8), 255, np.uint8)])
    pixels[0, 0, 3] = alpha
    return Image.fromarray(pixels)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_is_scaled_to_8(form: str) -> None:
    assert np.array_equal(read(Image.fromarray(GREY_16), form), GREY_8)


def test_16_bit_of_the_other_byte_order_and_compressed() -> None:
    assert np.array_equal(read(Image.fromarray(GREY_16.astype(">u2")), "TIFF"), GREY_8)
    assert np.array_equal(read(Image.fromarray(GREY_16), "TIFF", compression="tiff_lzw"), GREY_8)


def test_16_bit_colour_keeps_its_high_bytes() -> None:
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).astype(">u2").tobytes() for row in RGB)
    assert np.array_equal(picture(io.BytesIO(png(8, 6, 16, rows)), "a"), RGB)


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """A PNG file of RGB pixels."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_the_orientation_of_the_camera_is_applied(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    found = read(Image.fromarray(RGB), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(found, ORIENTED[orientation])


def test_palettes_grey_and_opaque_alpha() -> None:
    palette = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(read(palette, "PNG"), np.asarray(palette.convert("RGB")))
    assert np.array_equal(read(rgba(255), "PNG"), RGB)
    grey = Image.fromarray(RGB[..., 0])
    for mode in ("L", "LA", "1"):
        expected = np.asarray(grey.convert(mode).convert("L"))[..., None].repeat(3, axis=2)
        assert np.array_equal(read(grey.convert(mode), "PNG"), expected)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (stored(rgba(254), "PNG"), "transparent pixels: put the picture on a background"),
        (stored(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[0, 0]))), "transparent pixels"),
        (stored(Image.fromarray(RGB).quantize(4), "PNG", transparency=0), "transparent pixels"),
        (stored(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "CMYK colours, for print: convert them to RGB"),
        (stored(Image.fromarray(GREY_16.astype(np.float32)), "TIFF"), "floating-point pixels, whose white is not"),
        (stored(Image.fromarray(GREY_16.astype(np.int32)), "TIFF"), "32-bit integer pixels, whose white is not"),
        (
            stored(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[Image.fromarray(RGB)]),
            "2 pictures in one file",
        ),
        (io.BytesIO(png(30000, 30000, 8, b"\0" * 1000)), "unlikely size"),
        (io.BytesIO(png(9000, 9000, 8, b"\0" * 1000)), "unlikely size: 9000x9000 pixels"),
        (io.BytesIO(png(8, 6, 8, b"\0" * 10)), "damaged: a"),
        (io.BytesIO(b"no picture"), "damaged: a"),
    ],
    ids=[*["alpha", "colour", "palette", "cmyk", "float", "integer", "several", "bomb", "large", "cut", "text"]],
)
def test_what_has_no_single_right_conversion_is_refused(file: io.BytesIO, message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        picture(file, "a")


def folder(root: Path, *names: str) -> PictureFolder:
    """A folder whose pictures have the grey levels 0, 10, 20, … in the order of the names."""
    root.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(root / name)
    return PictureFolder(root, 25)


def order(video: PictureFolder) -> list[int]:
    return [int(frame[0, 0, 0]) // 10 for frame in video.pictures(range(len(video.timeline().ticks)))]


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{number}.png" for number in range(1, 13)],
        [f"{number}.bmp" for number in (0, 5, 10, 15)],
        [f"shot2_{number}.tif" for number in (9, 10, 11)],
        ["a9.WEBP", "a10.WEBP", "a11.WEBP"],
        ["t0.png", "t33.png", "t67.png", "t100.png"],
    ],
    ids=lambda names: names[0],
)
def test_pictures_are_in_natural_order(tmp_path: Path, names: list[str]) -> None:
    video = folder(tmp_path / "clip", *names)
    (tmp_path / "clip" / ("._" + names[0])).write_bytes(b"\0\5\26\7")
    (tmp_path / "clip" / "notes.txt").touch()
    assert order(video) == [*range(len(names))]
    assert video.timeline().remarks == ()
    assert is_video(tmp_path / "clip")


@pytest.mark.parametrize(
    ("names", "remark"),
    [
        (["f1.png", "f2.png", "f4.png", "f8.png"], "gaps in the numbers of the frames: 4 are missing"),
        (["f0.png", "f5.png", "f15.png"], "gaps in the numbers of the frames: 1 are missing"),
        (["a1.png", "b2.png"], "names of pictures that differ in more than a number: 2 kinds"),
        (["1.png", "cover.png"], "names of pictures that differ in more than a number: 2 kinds"),
        (["s1_1.png", "s2_2.png"], "names of pictures in which several numbers change: ordered by the first of them"),
    ],
)
def test_doubtful_orders_are_told(tmp_path: Path, names: list[str], remark: str) -> None:
    assert folder(tmp_path / "clip", *names).timeline().remarks == (remark,)


@pytest.mark.parametrize("names", [("f1.png", "f01.png"), ("1.png", "1.jpg")])
def test_two_pictures_of_one_number_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(Undecodable, match=r"two pictures of the same number: .*1\.\w+g and .*1\.png"):
        folder(tmp_path / "clip", *names).timeline()


@given(st.lists(st.integers(0, 10**6), min_size=2, unique=True), st.integers(0, 8))
def test_natural_order_is_that_of_the_numbers(numbers: list[int], digits: int) -> None:
    names = [f"frame{number:0{digits}d}.png" for number in sorted(numbers)]
    assert sorted(reversed(names), key=natural_order) == names


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animated_pictures(tmp_path: Path, suffix: str) -> None:
    durations = [40, 40, 200, 40]
    path = tmp_path / f"video{suffix}"
    first, *rest = (Image.fromarray(np.full((16, 24, 3), 40 * number, np.uint8)) for number in range(4))
    first.save(path, save_all=True, append_images=rest, duration=durations, lossless=True)
    video = source(path)
    timeline = video.timeline()
    assert (timeline.ticks * timeline.tick * 1000).tolist() == [0, 40, 80, 280]
    assert [int(frame.mean()) for frame in video.pictures({1, 3})] == [40, 120]
    assert source(path, 10.0).timeline().seconds == pytest.approx(0.3)
    assert is_video(path)


def test_a_transparent_animated_picture_is_refused(tmp_path: Path) -> None:
    rgba(0).save(tmp_path / "video.webp", save_all=True, append_images=[rgba(255)], lossless=True)
    with pytest.raises(Undecodable, match="transparent pixels"):
        list(source(tmp_path / "video.webp").pictures({0, 1}))
