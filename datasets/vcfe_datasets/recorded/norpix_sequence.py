"""Reader for Norpix ``.seq`` files of JPEG pictures, the format of Olympic Sports, which FFmpeg does not support.

The header has 1,024 bytes. Each frame consists of its length (4 bytes, which are included in the length), a JPEG
picture, and a time stamp of 8 or 16 bytes; the length of the time stamp is constant within a file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfe_bench.video.pictures import picture
from vcfe_bench.video.timeline import Timeline, Undecodable, regular

MAGIC = b"\xed\xfe\x00\x00"
HEADER = 1024
JPEG = (102, 201)
"""Codes of the JPEG picture formats."""
FORMAT, COUNT, RATE = 568, 572, 584
"""Offsets in the header of the picture format, the number of frames (both int32) and the frame rate (float64)."""
TRAILERS = (8, 16)
"""Possible lengths of a time stamp."""
START = b"\xff\xd8"
"""First bytes of a JPEG picture."""


@dataclass(frozen=True)
class NorpixSequence:
    """A ``.seq`` file. The last frame is dropped if it is truncated, as in some files of the dataset."""

    path: Path

    def timeline(self) -> Timeline:
        data = self._read()
        (rate,) = struct.unpack_from("<d", data, RATE)
        (expected,) = struct.unpack_from("<i", data, COUNT)
        frames = len(_picture_ranges(data))
        if not frames or frames < expected - 1:
            raise Undecodable(f"damaged: {frames} of {expected} frames are present")
        return regular(frames, rate)

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        data = self._read()
        ranges = _picture_ranges(data)
        for index in sorted(indices):
            start, end = ranges[index]
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


def _picture_ranges(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the complete pictures in a file."""
    ranges: list[tuple[int, int]] = []
    at, trailer = HEADER, None
    while at + 4 < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        end = at + length
        if length <= 4 or end > len(data) or not data.startswith(START, at + 4):
            break
        ranges.append((at + 4, end))
        if trailer is None:
            trailer = next((size for size in TRAILERS if data.startswith(START, end + size + 4)), TRAILERS[0])
        at = end + trailer
    return ranges
