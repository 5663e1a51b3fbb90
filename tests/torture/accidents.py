"""Runs that are killed, whose disk is full, or that share a directory: the same command again has to end the same."""

from __future__ import annotations

import errno
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.torture.counts import Line
from tests.torture.server import Command, Ended, call
from tests.torture.snapshot import differences, lost_and_doubled, snapshot

SMALL = ("run", "--methods", "toy_half,steady", "--dataset", "toy_lights", "--limit", "2", "--in-process")
SMALL += ("--metrics", "toy_flip,toy_change,toy_spread", "--out")
WRITES = ("fsync", "replace", "rename")
"""Functions of ``os`` that end every write of a run."""
LAST = 10**9


class Accidents:
    """All accidents of a small run."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.out = folder / "run"
        assert call(*SMALL, folder / "reference").code == 0
        self.expected = snapshot(folder / "reference")
        counter = folder / "count"
        start = time.monotonic()  # of the second run: the first one takes longer
        assert call(*SMALL, folder / "counted", before=_hook("count", LAST, counter)).code == 0
        self.seconds = time.monotonic() - start
        self.writes = int(counter.read_text())
        self.records = Line("records after all accidents above", "none is lost, none is doubled")

    def kills(self, at_random: int, every: int) -> Line:
        """Kill at every ``every``-th write, then ``at_random`` times; tear the last line of the journal after some."""
        line = Line(
            f"killed at a write (of {self.writes}) or at a random moment", "the same command ends in the same bits"
        )
        for number in range(1, self.writes + 1, every):
            self._clean()
            call(*SMALL, self.out, before=_hook("kill", number))
            self._torn(number % 3 == 0)
            line.add(*self._resumed(f"write {number}"))
        for number in range(at_random):
            self._clean()
            for _ in range(1 + number % 2):
                command = Command([*SMALL, str(self.out)])
                time.sleep(self.random.uniform(0.02, self.seconds))
                os.kill(command.pid, signal.SIGKILL)
                command.wait()
            line.add(*self._resumed(f"moment {number}"))
        return line

    def full_disk(self, every: int) -> Line:
        """The disk is full at every ``every``-th write and from then on."""
        line = Line(
            f"no space left at a write (of {self.writes})", "one line, exit code 2, and the same bits after making room"
        )
        for number in range(1, self.writes + 1, every):
            self._clean()
            ended = call(*SMALL, self.out, before=_hook("full", number))
            case = f"write {number}: code {ended.code}: {ended.last[:200]}"
            if ended.code == 0:  # the write is one that a run can do without
                line.add("harmless" if not differences(self.expected, self.out) else "silent", case)
            elif ended.code != 2 or not ended.one_line:
                line.add("traceback" if ended.crashed else "other end", case)
            else:
                outcome, detail = self._resumed(case)
                line.add("resumed" if outcome == "survived" else outcome, detail)
        return line

    def signals(self, repeats: int) -> Line:
        """Ask the run to end at random moments."""
        line = Line(
            "SIGINT, SIGTERM or SIGHUP at a random moment",
            "one line, exit code 130 or 143, and the same bits when resumed",
        )
        for number in range(repeats):
            for asked, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)):
                self._clean()
                command = Command([*SMALL, str(self.out)])
                moment = time.monotonic() + self.random.uniform(0.3, 0.8) * self.seconds
                while not (self.out / "journal.jsonl").exists() and time.monotonic() < moment + 20:
                    time.sleep(0.005)
                time.sleep(max(0.0, moment - time.monotonic()))
                command.send(asked)
                ended = command.wait()
                case = f"{asked.name} {number}: code {ended.code}: {ended.last[:200]}"
                if ended.code == 0:
                    line.add("survived" if not differences(self.expected, self.out) else "silent", case)
                elif ended.code != code or not ended.one_line:
                    line.add("traceback" if ended.crashed else "other end", case)
                else:
                    outcome, detail = self._resumed(case)
                    line.add("resumed" if outcome == "survived" else outcome, detail)
        return line

    def two_processes(self, repeats: int) -> Line:
        """Start the same run three times at once, and read it meanwhile."""
        line = Line(
            "three processes on one directory, and one that reads it",
            "one works, the others are refused in one line; the same bits",
        )
        for number in range(repeats):
            self._clean()
            commands = [Command([*SMALL, str(self.out)]) for _ in range(3)]
            commands.append(Command(["leaderboard", str(self.out)]))
            ended = [command.wait() for command in commands]
            for place, each in enumerate(ended):
                case = f"{number}.{place}: code {each.code}: {each.last[:200]}"
                if each.code == 0:
                    line.add("survived", case)
                else:
                    line.add("refused" if each.code == 2 and each.one_line else "other end", case)
            line.add(*self._resumed(f"after {number}"))
        return line

    def _resumed(self, case: str) -> tuple[str, str]:
        """What comes of the same command after an accident."""
        ended: Ended = call(*SMALL, self.out)
        if ended.code != 0:
            return "lost", f"{case}; resumed with code {ended.code}: {ended.last[:200]}"
        for outcome, count in zip(
            ("records lost", "records doubled"), lost_and_doubled(self.expected, self.out), strict=True
        ):
            self.records.outcomes[outcome] += count
        different = differences(self.expected, self.out)
        return ("silent", f"{case}; {different[:3]}") if different else ("survived", case)

    def _torn(self, torn: bool) -> None:
        """Cut the last line of the journal in two, as a crash of the machine can."""
        journal = self.out / "journal.jsonl"
        if torn and journal.exists():
            content = journal.read_bytes()
            start = content.rstrip(b"\n").rfind(b"\n") + 1
            journal.write_bytes(content[: (start + len(content)) // 2])

    def _clean(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)


def _hook(mode: str, number: int, counter: Path | None = None) -> Callable[[], None]:
    """What a process does before the command: at its ``number``-th write, it is killed or finds the disk full."""

    def before() -> None:
        events = iter(range(1, LAST))

        def happens() -> None:
            event = next(events)
            if counter is not None:
                counter.write_text(str(event))
            if mode == "kill" and event == number:
                os.kill(os.getpid(), signal.SIGKILL)
            if mode == "full" and event >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for name in WRITES:
            setattr(os, name, _after(happens, getattr(os, name)))

    return before


def _after(happens: Callable[[], None], function: Callable[..., object]) -> Callable[..., object]:
    def wrapped(*arguments: object, **rest: object) -> object:
        happens()
        return function(*arguments, **rest)

    return wrapped


def lines(folder: Path, every: int) -> Iterator[Line]:
    """The lines of the table, with every ``every``-th case."""
    accidents = Accidents(folder)
    yield accidents.kills(at_random=math.ceil(130 / every), every=every)
    yield accidents.full_disk(every)
    yield accidents.signals(repeats=math.ceil(5 / every))
    yield accidents.two_processes(repeats=math.ceil(4 / every))
    yield accidents.records
