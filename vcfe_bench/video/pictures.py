"""Videos that are stored as pictures: one file for each frame, or an animated picture."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import multimode
from typing import IO, ParamSpec, TypeVar

import numpy as np
from PIL import Image, ImageOps

from vcfe_bench.video import structure
from vcfe_bench.video.display import check_size
from vcfe_bench.video.timeline import Timeline, Undecodable, regular

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""Suffixes of the pictures in a folder of frames."""
DEPTH_16 = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
"""Modes of pictures with 16 bits for each pixel."""
REFUSED = {
    "I": "32-bit integer pixels, whose white is not known: store 8 or 16 bits",
    "F": "floating-point pixels, whose white is not known: store 8 or 16 bits",
    "CMYK": "CMYK colours, for print: convert them to RGB",
    "LAB": "LAB colours: convert them to RGB",
}
"""Modes of pictures that have no single conversion to RGB, and what to do."""
SEVERAL_VIEWS = frozenset({"MPO"})
"""Formats whose first picture is the photograph and whose others are further views of it."""
SECOND = 1000
"""Ticks of an animated picture in a second."""
_DIGITS = re.compile(r"([0-9]+)")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class PictureFolder:
    """A folder with one picture per frame, in natural order of the file names (``frame2`` before ``frame10``).

    The frames are shown at ``fps`` frames per second.
    """

    path: Path
    fps: float

    def timeline(self) -> Timeline:
        if not (files := frame_files(self.path)):
            raise Undecodable("the folder contains no pictures")
        return regular(len(files), self.fps, _remarks([file.name for file in files]))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        files = frame_files(self.path)
        for index in sorted(indices):
            with files[index].open("rb") as file:
                yield picture(file, files[index].name)


@dataclass(frozen=True)
class AnimatedPicture:
    """An animated picture that FFmpeg does not read, such as WebP. ``fps`` overrides the durations of its frames."""

    path: Path
    fps: float | None = None

    def timeline(self) -> Timeline:
        if not self.path.stat().st_size:
            raise Undecodable("the file is empty")
        durations = [_decoded(self.path.name, _duration, image) for image in self._frames()]
        if self.path.suffix.lower() == ".webp" and structure.state(self.path, "webp") == "cut":
            raise Undecodable("damaged: the end of the file is missing")
        if self.fps is not None or not all(durations[:-1]):
            return regular(len(durations), self.fps or Fraction(10))
        return Timeline(np.cumsum([0, *durations[:-1]], dtype=np.int64), Fraction(1, SECOND))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        last = max(indices)
        for index, image in enumerate(self._frames()):
            if index in indices:
                yield _decoded(self.path.name, _rgb, image)
            if index == last:
                return
        raise Undecodable(f"damaged: frame {last} is missing")

    def _frames(self) -> Iterator[Image.Image]:
        """The picture, positioned at one frame after the other."""
        image = _decoded(self.path.name, Image.open, self.path)
        with image:
            check_size(*image.size)
            for frame in range(getattr(image, "n_frames", 1)):
                _decoded(self.path.name, image.seek, frame)
                yield image


def frame_files(folder: Path) -> list[Path]:
    """The pictures in a folder, in natural order of their names."""
    return sorted((file for file in folder.iterdir() if is_picture(file)), key=lambda file: natural_order(file.name))


def is_picture(path: Path) -> bool:
    """Whether a file is the picture of a frame, by its name. Hidden files, such as those of macOS, are not."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that orders names by the numbers in them; names that are equal but for zeros are ordered as text."""
    parts = _DIGITS.split(name)
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)] + [(0, name)]


def picture(file: IO[bytes], name: str) -> np.ndarray:
    """Decode a picture to uint8 ``[H, W, 3]``, upright; ``file`` is opened in binary mode.

    16-bit pictures are scaled to 8 bits, palettes and grey become RGB, and the orientation of the camera is applied.

    Raises:
        Undecodable: the file is damaged, not a picture, too large, contains several pictures, has transparent pixels,
            or has no single conversion to RGB. ``name`` identifies it in the message.
    """
    return _decoded(name, _opened, file)


def _opened(file: IO[bytes]) -> np.ndarray:
    with Image.open(file) as image:
        check_size(*image.size)
        if getattr(image, "n_frames", 1) > 1 and image.format not in SEVERAL_VIEWS:
            raise Undecodable(f"{getattr(image, 'n_frames', 1)} pictures in one file")
        return _rgb(image)


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 ``[H, W, 3]``."""
    image.load()
    mode = "I;16" if image.mode == "I" and image.format == "PNG" else image.mode
    if mode in REFUSED:
        raise Undecodable(REFUSED[mode])
    upright = ImageOps.exif_transpose(image)
    if mode in DEPTH_16:
        grey = (np.asarray(upright).astype(np.uint32) * 255 + 32767) // 65535
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if "transparency" in image.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        pixels = np.asarray(upright.convert("RGBA"))
        if (pixels[..., 3] != 255).any():
            raise Undecodable("transparent pixels: put the picture on a background")
        return np.ascontiguousarray(pixels[..., :3])
    return np.asarray(upright.convert("RGB"))


def _duration(image: Image.Image) -> int:
    """Milliseconds for which the present frame of an animated picture is shown."""
    image.load()
    return round(image.info.get("duration", 0))


def _decoded(name: str, decode: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a decoder of pictures, which raises errors of any kind where a file is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode(*args, **kwargs)
    except Undecodable as error:
        raise Undecodable(f"{error} ({name})") from None
    except Image.DecompressionBombError:
        raise Undecodable(f"unlikely size: too many pixels ({name})") from None
    except Exception as error:
        raise Undecodable(f"damaged: {name}: {error}") from None


def _remarks(names: Sequence[str]) -> tuple[str, ...]:
    """What is doubtful about the order of pictures with these names.

    Raises:
        Undecodable: two pictures have the same number.
    """
    stems = [Path(name).stem for name in names]
    forms = Counter(_DIGITS.sub("#", stem) for stem in stems)
    if len(forms) > 1:
        return (f"names of pictures that differ in more than a number: {len(forms)} kinds",)
    numbers = [tuple(int(number) for number in _DIGITS.findall(stem)) for stem in stems]
    if len(set(numbers)) < len(numbers):
        taken = Counter(numbers)
        repeated = [name for number, name in zip(numbers, names, strict=True) if taken[number] > 1]
        raise Undecodable(f"two pictures of the same number: {repeated[0]} and {repeated[1]}")
    varying = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(varying) > 1:
        return ("names of pictures in which several numbers change: ordered by the first of them",)
    if not varying:
        return ()
    steps = [later - earlier for earlier, later in pairwise(varying[0])]
    usual = min(multimode(steps))
    missing = sum(max(round(step / usual) - 1, 0) for step in steps)
    return (f"gaps in the numbers of the frames: {missing} are missing",) if missing > 0 else ()
