"""Conversion of decoded frames to what a player shows: upright 8-bit RGB with square pixels.

The rules are those of the ``ffmpeg`` program: the display matrix turns and mirrors the frame, after which the sample
aspect ratio sets its width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from vcfe_bench.video.timeline import MAX_PIXELS, Undecodable

EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int"
"""Options of FFmpeg's ``scale`` filter with which a conversion to RGB gives the same bytes on every CPU."""
NARROWEST, WIDEST = Fraction(1, 8), Fraction(8)
"""Limits of the width of a pixel, in units of its height."""
TOLERANCE = math.tan(math.radians(1))
"""Deviation of a display matrix from right angles that is ignored."""
TRANSFER = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of high dynamic range, by their number in ITU-T H.273."""


@dataclass(frozen=True)
class Orientation:
    """How a stored frame becomes upright: transposed first, then with rows and columns in reverse order."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    @classmethod
    def of(cls, matrix: np.ndarray) -> Orientation:
        """The orientation of a display matrix: nine fixed-point numbers, as in the track header of an MP4 file.

        Raises:
            Undecodable: the matrix turns the frame by another angle than a multiple of 90 degrees.
        """
        a, b, _, c, d = (matrix / 2**16)[:5]
        if abs(a * d - b * c) < 1e-6:
            return cls()
        straight, turned = max(abs(a), abs(d)), max(abs(b), abs(c))
        if turned <= TOLERANCE * straight:
            return cls(False, bool(d < 0), bool(a < 0))
        if straight <= TOLERANCE * turned:
            return cls(True, bool(b < 0), bool(c < 0))
        degrees = math.degrees(math.atan2(b, a))
        raise Undecodable(f"turned by an odd angle: its display matrix turns it by {degrees:.0f} degrees")

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The upright picture of ``[H, W, channels]``."""
        upright = picture.swapaxes(0, 1) if self.transposed else picture
        return np.ascontiguousarray(upright[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1])


class Display:
    """Converts the frames of one stream to uint8 ``[H, W, 3]``, upright and with square pixels."""

    def __init__(self, stream: av.video.stream.VideoStream) -> None:
        self._stream = stream
        self._form: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """The picture that a player shows.

        Raises:
            Undecodable: the frame is too large, has transparent pixels, or is turned by an odd angle.
        """
        upright = orientation(frame)
        aspect = pixel_aspect(self._stream)
        form = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, upright, aspect)
        if form != self._form:
            self._form, self._graph = form, _graph(frame, *_shown_size(frame, aspect, upright.transposed))
        self._graph.push(frame)
        picture = self._graph.pull().to_ndarray()
        if picture.shape[2] == 4:
            if (picture[..., 3] != 255).any():
                raise Undecodable("transparent pixels: put the video on a background")
            picture = picture[..., :3]
        return upright(picture)


def orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation in which a frame is shown."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return Orientation() if matrix is None else Orientation.of(np.frombuffer(bytes(matrix), np.int32))


def pixel_aspect(stream: av.video.stream.VideoStream) -> Fraction:
    """Width of a pixel in units of its height; 1 if the file does not say.

    Raises:
        Undecodable: the ratio is outside ``NARROWEST`` to ``WIDEST``.
    """
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not NARROWEST <= aspect <= WIDEST:
        raise Undecodable(f"unlikely pixels: {aspect.numerator}:{aspect.denominator} wide")
    return Fraction(aspect)


def remarks(frame: av.VideoFrame, stream: av.video.stream.VideoStream) -> set[str]:
    """What the conversion of a frame leaves as it is although a player might not."""
    found = set()
    if frame.interlaced_frame:
        found.add("interlaced, not deinterlaced")
    transfer = TRANSFER.get(int(stream.codec_context.color_trc))
    if transfer:
        found.add(f"high dynamic range ({transfer}), not converted to standard range")
    return found


def check_size(width: int, height: int) -> None:
    """Refuse a frame that is empty or too large for the memory.

    Raises:
        Undecodable: it has no pixels, or more than ``MAX_PIXELS``.
    """
    if not 0 < width * height <= MAX_PIXELS:
        raise Undecodable(f"unlikely size: {width}x{height} pixels")


def _shown_size(frame: av.VideoFrame, aspect: Fraction, transposed: bool) -> tuple[int, int]:
    """Width and height to which a stored frame is scaled, so that its width is right once it is upright."""
    width, height = frame.width, frame.height
    if transposed:
        height = max(int(height / aspect), 1)
    else:
        width = max(int(width * aspect), 1)
    check_size(width, height)
    return width, height


def _graph(frame: av.VideoFrame, width: int, height: int) -> av.filter.Graph:
    """A filter graph that converts frames like this one. A frame that may be transparent keeps its alpha."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    transparent = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    scale = graph.add("scale", f"w={width}:h={height}:{EXACT}")
    form = graph.add("format", f"pix_fmts={'rgba' if transparent else 'rgb24'}")
    graph.link_nodes(source, scale, form, graph.add("buffersink")).configure()
    return graph
