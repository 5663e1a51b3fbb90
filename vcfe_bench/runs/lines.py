"""Lines of a journal: JSON objects that are numbered and carry a checksum.

A line ends in ``"line": <number>, "crc": "<8 hexadecimal digits>"}``; the checksum (CRC-32) is of everything before
``, "crc"``. A line that does not have its checksum counts as lost, and so does every number that is missing; a line
that is repeated is ignored. Lines of journals that earlier versions wrote have neither number nor checksum; they count
as whole where they are JSON, until the first line that has both.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

CRC = b', "crc": "'


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line: its number, its first byte in the file, and its content."""

    number: int
    offset: int
    content: dict[str, Any]


def encode(content: Mapping[str, Any]) -> bytes:
    """The line of a content, whose number it has as ``line``, with its end."""
    body = json.dumps(content)[:-1].encode()
    return body + CRC + f'{zlib.crc32(body):08x}"}}\n'.encode()


def decode(raw: bytes) -> tuple[dict[str, Any] | None, bool]:
    """The content of a line, None if it is damaged, and whether it has a number and a checksum."""
    body, mark, check = raw.rpartition(CRC)
    try:
        if mark:
            whole = check.rstrip(b"\n") == f'{zlib.crc32(body):08x}"}}'.encode()
            return (from_json(raw) if whole else None), True
        content = from_json(raw)
        whole = isinstance(content, dict) and "kind" in content and "line" not in content
        return (content if whole else None), False
    except ValueError:
        return None, False


class Reader:
    """Reads the whole lines of a journal in order, from ``offset``, where the line with the number ``following`` is.

    Attributes:
        offset: where the next line begins; a last line that was cut short is not read.
        following: the number that the next line has.
        numbered: whether lines have numbers by now.
        lost: the numbers of the lines that are damaged or missing.
    """

    def __init__(self, path: Path, offset: int = 0, following: int = 0, numbered: bool = False) -> None:
        self.path = path
        self.offset, self.following, self.numbered = offset, following, numbered
        self.lost: set[int] = set()

    def __iter__(self) -> Iterator[Line]:
        damaged = 0
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                start, self.offset = self.offset, self.offset + len(raw)
                content, numbered = decode(raw)
                if content is None or (self.numbered and not numbered):
                    damaged += 1
                    continue
                number = int(content["line"]) if numbered else self.following + damaged
                if number < self.following:
                    continue
                self.lost.update(range(self.following, number))
                self.following, self.numbered, damaged = number + 1, numbered or self.numbered, 0
                yield Line(number, start, content)
        self.lost.update(range(self.following, self.following + damaged))
        self.following += damaged


def at(path: Path, offsets: list[int]) -> Iterator[Line]:
    """The lines that begin at ``offsets``.

    Raises:
        ValueError: one of them is damaged.
    """
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            content, _ = decode(file.readline())
            if content is None:
                raise ValueError(f"the line at byte {offset} of {path} is damaged")
            yield Line(int(content.get("line", -1)), offset, content)
