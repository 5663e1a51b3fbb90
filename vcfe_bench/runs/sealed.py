"""Files that carry a checksum of their own, at their end.

The checksum is of the name and the content, so a file that was damaged, cut short or replaced by another is noticed
without asking anything else. It has the form of an EBML element that holds nothing (``Void``, RFC 8794, section
11.3.2), which is allowed at the end of a Matroska file; readers of ZIP archives skip it too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MARK = b"\xec\x90"
"""Identity of an empty element, and its size, 16 bytes."""
LENGTH = len(MARK) + 16


class Damaged(OSError):
    """A file is not what was written."""


def seal(path: Path, name: str) -> None:
    """Add the checksum to a file that will be called ``name``."""
    digest = _digest(path.read_bytes(), name)
    with path.open("ab") as file:
        file.write(MARK + digest)


def content(path: Path, name: str, required: bool = True) -> bytes:
    """The content of a file without its checksum.

    Args:
        required: whether a file without a checksum is damaged; not in runs of versions that wrote none.

    Raises:
        Damaged: it does not have the checksum of its content and ``name``.
        OSError: it cannot be read.
    """
    whole = path.read_bytes()
    body, end = whole[:-LENGTH], whole[-LENGTH:]
    if end[: len(MARK)] == MARK and end[len(MARK) :] == _digest(body, name):
        return body
    if required or end[: len(MARK)] == MARK:
        raise Damaged(f"{path} is damaged: it does not have its checksum")
    return whole


def _digest(content: bytes, name: str) -> bytes:
    return hashlib.blake2b(content, digest_size=16, key=hashlib.sha256(name.encode()).digest()).digest()
