"""Norpix ``.seq`` files of JPEG pictures, as Olympic Sports has them; FFmpeg does not read them.

The header has 1,024 bytes. Each frame is its length (4 bytes, which count), a JPEG picture, and 8 or 16 bytes of time
stamp, the same number in a whole file.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vcfe_bench.video.decoding import Timeline, Undecodable, picture, regular

MAGIC = b"\xed\xfe\x00\x00"
HEADER = 1024
JPEG = (102, 201)
"""Codes of the picture formats that are JPEG."""
FORMAT, COUNT, RATE = 568, 572, 584
"""Places in the header of picture format, number of frames (both int32) and frames per second (float64)."""
TRAILERS = (8, 16)
START = b"\xff\xd8"
"""How a JPEG picture begins."""


@dataclass(frozen=True)
class NorpixSequence:
    """A ``.seq`` file. Its last frame may be cut off, as it is in some files of the dataset; it is left out then."""

    path: Path

    def timeline(self) -> Timeline:
        data = self._read()
        (rate,) = struct.unpack_from("<d", data, RATE)
        if not (math.isfinite(rate) and rate > 0):
            raise Undecodable(f"damaged: {rate} frames per second in the header")
        (promised,) = struct.unpack_from("<i", data, COUNT)
        frames = len(_places(data))
        if not frames or frames < promised - 1:
            raise Undecodable(f"damaged: {frames} of {promised} frames are there")
        return regular(frames, Fraction(rate).limit_denominator(1001))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        data = self._read()
        places = _places(data)
        for index in sorted(indices):
            start, end = places[index]
            yield picture(io.BytesIO(data[start:end]), f"frame {index}")

    def _read(self) -> bytes:
        data = self.path.read_bytes()
        if not data:
            raise Undecodable("the file is empty")
        if len(data) < HEADER or not data.startswith(MAGIC):
            raise Undecodable("not a Norpix sequence")
        (code,) = struct.unpack_from("<i", data, FORMAT)
        if code not in JPEG:
            raise Undecodable(f"pictures of format {code}, not JPEG")
        return data


def _places(data: bytes) -> list[tuple[int, int]]:
    """Where the whole pictures of a file start and end."""
    found: list[tuple[int, int]] = []
    at, trailer = HEADER, None
    while at + 4 < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        end = at + length
        if length <= 4 or end > len(data) or not data.startswith(START, at + 4):
            break
        found.append((at + 4, end))
        if trailer is None:
            trailer = next((size for size in TRAILERS if data.startswith(START, end + size + 4)), TRAILERS[0])
        at = end + trailer
    return found
