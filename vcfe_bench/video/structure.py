"""Whether a file was cut off, by the sizes that its container announces.

A header may announce more frames than are shown: after a cut without encoding again, or where a frame is repeated. The
sizes of the parts of a file are exact, so that they decide whether its end is missing.

Sources: ISO/IEC 14496-12 (MP4), ISO/IEC 13818-1 (MPEG streams), RFC 8794 and RFC 9559 (Matroska), the RIFF, ASF, FLV
and GIF89a specifications.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

State = Literal["whole", "cut", "unknown"]
"""``unknown``: the container does not announce its size, so that the end may be missing."""

BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"mfra"})
"""Boxes at the top level of an MP4 file; other bytes at its end are not part of it."""
SEGMENT = b"\x18\x53\x80\x67"
SYNC = b"\x47"
"""First byte of a packet of a transport stream."""
HEAD = 4096
"""Bytes at the beginning of an FLV file in which its metadata are looked for."""
PACKETS = (188, 192, 204)
UNKNOWN = -1
"""Size of an element whose end is not known when it is written."""
PADDING = 1
"""Bytes that may be missing at the end: RIFF chunks are padded to an even size, which some writers omit."""


def state(path: Path, format: str) -> State:
    """Whether a file is whole; ``format`` is FFmpeg's name of its container."""
    for name, read in _READERS.items():
        if name in format.split(","):
            with path.open("rb") as file:
                return read(file, path.stat().st_size)
    return "unknown"


def _mp4(file: BinaryIO, end: int) -> State:
    at, fragmented, media = 0, False, False
    while at + 8 <= end:
        file.seek(at)
        size, kind, header = _number(file, 4), file.read(4), 8
        if kind not in BOXES:
            break
        if size == 1:
            size, header = _number(file, 8), 16
        if size == 0:
            return "unknown"
        if size < header or at + size > end:
            return "cut"
        at, fragmented, media = at + size, fragmented or kind == b"moof", media or kind == b"mdat"
    return "whole" if media and not fragmented else "unknown"


def _riff(file: BinaryIO, end: int) -> State:
    """AVI and WebP; an AVI larger than 1 GB consists of several RIFF chunks."""
    at = 0
    while at + 8 <= end:
        file.seek(at)
        kind, size = file.read(4), _number(file, 4, "little")
        if kind != b"RIFF":
            break
        if size in (0, 0xFFFFFFFF):
            return "unknown"
        at += 8 + size + size % 2
    return "cut" if at - PADDING > end else "whole"


def _matroska(file: BinaryIO, end: int) -> State:
    """Sizes of the segment or, if it is written while it is recorded, of the elements in it."""
    at, live = 0, False
    while at < end:
        file.seek(at)
        kind, size = _identifier(file), _size(file)
        if size is None:
            return "cut"
        at = file.tell()
        if size == UNKNOWN:
            live = True
            continue
        at += size
        if at > end:
            return "cut"
        if kind == SEGMENT:
            return "whole"
    return "unknown" if live else "cut"


def _asf(file: BinaryIO, end: int) -> State:
    at = 0
    while at + 24 <= end:
        file.seek(at + 16)
        size = _number(file, 8, "little")
        if size < 24:
            return "unknown"
        if at + size > end:
            return "cut"
        at += size
    return "whole" if at == end else "cut"


def _flv(file: BinaryIO, end: int) -> State:
    """Sizes of the tags and, in most files, that of the file among the metadata."""
    head = file.read(HEAD)
    file.seek(5)
    at = _number(file, 4) + 4
    while at + 15 <= end:
        file.seek(at + 1)
        at += 15 + _number(file, 3)
    if at != end:
        return "cut"
    _, found, number = head.partition(b"filesize\0")
    if not found or len(number) < 8:
        return "unknown"
    return "cut" if struct.unpack_from(">d", number)[0] > end else "whole"


def _gif(file: BinaryIO, end: int) -> State:
    data = file.read()
    if len(data) < 13:
        return "cut"
    at = 13 + _colours(data[10])
    try:
        while data[at] != 0x3B:
            if data[at] == 0x2C:
                at += 11 + _colours(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:
                return "unknown"
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        return "cut"
    return "whole"


def _transport_stream(file: BinaryIO, end: int) -> State:
    """Packets of 188 bytes, in some files with 4 bytes before or 16 after each."""
    data = file.read(4 * max(PACKETS))
    for size in PACKETS:
        if any(data[first::size].startswith(SYNC * 3) for first in range(size)):
            return "cut" if end % size else "unknown"
    return "unknown"


def _program_stream(file: BinaryIO, end: int) -> State:
    at = 0
    while at + 6 <= end:
        file.seek(at)
        start = file.read(4)
        if start == b"\0\0\1\xb9":
            return "whole"
        if not start.startswith(b"\0\0\1"):
            return "unknown"
        if start == b"\0\0\1\xba":
            version_2 = _number(file, 1) >> 6 == 1
            file.seek(at + 13)
            at += 14 + (_number(file, 1) & 7) if version_2 else 12
        else:
            at += 6 + _number(file, 2)
    return "unknown" if at == end else "cut"


_READERS: dict[str, Callable[[BinaryIO, int], State]] = {
    "mov": _mp4,
    "avi": _riff,
    "webp": _riff,
    "matroska": _matroska,
    "asf": _asf,
    "flv": _flv,
    "gif": _gif,
    "mpegts": _transport_stream,
    "mpeg": _program_stream,
}


def _colours(flags: int) -> int:
    """Bytes of a GIF colour table."""
    return 3 * 2 ** (1 + (flags & 7)) if flags & 0x80 else 0


def _number(file: BinaryIO, size: int, order: Literal["big", "little"] = "big") -> int:
    return int.from_bytes(file.read(size), order)


def _identifier(file: BinaryIO) -> bytes:
    """An EBML identifier, whose first byte tells its length."""
    first = file.read(1)
    return first + file.read(_length(first) - 1) if first else b""


def _size(file: BinaryIO) -> int | None:
    """An EBML size, ``UNKNOWN`` if all its bits are set, or None where the file ends."""
    first = file.read(1)
    rest = file.read(_length(first) - 1) if first else b""
    if not first or len(rest) < _length(first) - 1:
        return None
    bits = 7 * _length(first)
    size = int.from_bytes(first + rest, "big") & (1 << bits) - 1
    return UNKNOWN if size == (1 << bits) - 1 else size


def _length(first: bytes) -> int:
    """Bytes of an EBML number, from its first byte: one more than its leading zeros."""
    return max(9 - first[0].bit_length(), 1)
