"""Checksums of the tables of a run, and how many lines the journal had when they were written (``checksums.json``)."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from vcfe_bench.runs.files import AGAIN, DamagedFile, atomically

NAME = "checksums.json"


@dataclass
class TableFiles:
    """The tables that were written: digests by file name.

    In old runs, and where the file is ``damaged``, there are none and ``lines`` is 0.
    """

    folder: Path
    lines: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    damaged: bool = False

    @classmethod
    def read(cls, folder: Path) -> TableFiles:
        """What ``write`` wrote; as if nothing was written, if it is missing or damaged."""
        try:
            stored = json.loads((folder / NAME).read_text())
            if stored["crc"] == zlib.crc32(_text(stored["content"]).encode()):
                return cls(folder, stored["content"]["lines"], stored["content"]["digests"])
        except FileNotFoundError:
            return cls(folder)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(folder, damaged=True)

    def add(self, name: str) -> None:
        """Take the digest of a table as it is now."""
        self.digests[name] = _digest((self.folder / name).read_bytes())

    def write(self, lines: int) -> None:
        """Store the digests, and the number of lines of the journal that the tables are of."""
        self.lines = lines
        content = {"lines": lines, "digests": self.digests}
        stored = {"content": content, "crc": zlib.crc32(_text(content).encode())}
        atomically(self.folder / NAME, lambda file: file.write_text(json.dumps(stored, indent=2)))

    def content(self, name: str) -> bytes:
        """The bytes of a table.

        Raises:
            DamagedFile: it is missing although it was written, or not what was written.
            FileNotFoundError: it has not been written.
        """
        path = self.folder / name
        known = self.digests.get(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if known is None:
                raise
            raise DamagedFile(f"{path} is missing: {AGAIN}") from None
        if known is not None and _digest(content) != known:
            raise DamagedFile(f"{path} is damaged: {AGAIN}")
        return content


def _text(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
