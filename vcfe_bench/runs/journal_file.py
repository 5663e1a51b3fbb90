"""The journal of a run on the disk: a file of numbered lines with checksums that is only ever appended to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from vcfe_bench.runs import lines, snapshot
from vcfe_bench.runs.files import CannotWrite
from vcfe_bench.runs.journal import NAMES, Entry, Repaired, content_of, parse
from vcfe_bench.runs.lines import Line, Reader
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.state import State

E = TypeVar("E", bound=Entry)


class JournalFile:
    """A journal, and its state as of the last ``read`` or ``append``.

    Attributes:
        lost: the numbers of lines that are damaged or missing, and that were not made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State()
        self.lost: frozenset[int] = frozenset()
        self.lines = 0
        self._reader = Reader(path)
        self._snapshot_at = 0

    def __len__(self) -> int:
        return self.lines

    def read(self) -> None:
        """Bring the state up to the file; entries that were read before are not read again.

        Raises:
            OSError, ValueError, KeyError: it cannot be read.
        """
        if not self.path.exists():
            return
        if not self._reader.offset and (stored := snapshot.load(self.path)):
            self.state, self._reader = stored
            self._snapshot_at = self._reader.offset
        for line in self._reader:
            self.state.apply(line)
        self.lines = self._reader.following
        self.lost = frozenset(self._reader.lost - self.state.repaired)

    def expect(self, count: int) -> None:
        """Count lines as lost that are missing at the end of a journal that had ``count`` lines."""
        self.lost |= frozenset(range(self.lines, count)) - self.state.repaired

    def drop_cut_line(self) -> None:
        """Remove a last line that was not written completely."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                file.truncate(_end(file))

    def append(self, entry: Entry) -> None:
        """Add one line; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written; the file is then as before.
        """
        content = {**content_of(entry), "time": round(time.time(), 1), "line": self.lines}
        line = lines.encode(content)
        with self.path.open("ab") as file:
            start = file.tell()
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                _cut(self.path, start)
                raise
        self.state.apply(Line(self.lines, start, content))
        self.lines += 1
        self._reader.offset, self._reader.following, self._reader.numbered = start + len(line), self.lines, True
        self.lost = frozenset(self.lost - self.state.repaired)

    def entries(self, kind: type[E]) -> Iterator[E]:
        """All entries of a kind, oldest first, read from the file.

        Raises:
            ValueError: a line has been damaged since the journal was opened.
        """
        name = NAMES[kind]  # type: ignore[index]
        places = self.state.places.get(name, [])
        found = self._lines(name) if name in ("task", "score") else lines.at(self.path, places)
        for line in found:
            entry = parse(line.content)
            assert isinstance(entry, kind)
            yield entry

    def records(self, offsets: list[int]) -> Iterator[Record]:
        """The records whose lines begin at ``offsets``.

        Raises:
            ValueError: one of the lines is damaged.
        """
        for line in lines.at(self.path, offsets):
            record = parse(line.content)
            assert isinstance(record, Record)
            yield record

    def history(self) -> Iterator[Line]:
        """All whole lines from the start of the file to what the state knows."""
        if self.path.exists():
            reader = Reader(self.path)
            for line in reader:
                if line.offset >= self._reader.offset:
                    break
                yield line
            if reader.lost - self.state.repaired:
                raise ValueError(f"lines of {self.path} have been damaged: {len(reader.lost)}")

    def _lines(self, kind: str) -> Iterator[Line]:
        return (line for line in self.history() if line.content["kind"] == kind)

    def repair(self) -> None:
        """Enter that the lost lines are made again; their numbers are not used again."""
        ranges: list[list[int]] = []
        for number in sorted(self.lost):
            if ranges and ranges[-1][1] == number:
                ranges[-1][1] += 1
            else:
                ranges.append([number, number + 1])
        self.lines = max(self.lines, ranges[-1][1])
        self.append(Repaired(tuple((start, stop) for start, stop in ranges)))

    def save_snapshot(self) -> None:
        """Store the state beside the journal if much was read or written since the last time; it speeds up opening."""
        if self._reader.offset - self._snapshot_at >= snapshot.WORTH and not self.lost:
            with suppress(CannotWrite):  # nothing depends on it
                snapshot.save(self.path, self.state, self._reader)
                self._snapshot_at = self._reader.offset


def _end(file: BinaryIO, step: int = 1 << 16) -> int:
    """The length of a file without a last line that has no end."""
    size = file.seek(0, os.SEEK_END)
    while size:
        start = max(size - step, 0)
        file.seek(start)
        place = file.read(size - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        size = start
    return 0


def _cut(path: Path, length: int) -> None:
    """Take back what of a line was written."""
    with suppress(OSError):  # the next process to open the journal drops it
        os.truncate(path, length)
