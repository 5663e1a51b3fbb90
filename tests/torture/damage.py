"""Files of a finished run are cut, flipped, emptied or deleted; then every command reads the run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.torture.counts import Line
from tests.torture.server import Ended, call
from tests.torture.snapshot import differences, snapshot

RUN = ("run", "--methods", "toy_push[steps=2],toy_half", "--dataset", "toy_lights", "--limit", "3", "--in-process")
METRICS = "toy_flip,toy_change,toy_spread,toy_networks"
WAYS = ("flip", "cut", "empty", "delete")


def damaged(file: Path, way: str, draw: random.Random) -> None:
    """Damage a file."""
    content = bytearray(file.read_bytes())
    if way == "flip":
        place = draw.randrange(len(content))
        content[place] ^= 1 << draw.randrange(8)
    elif way == "cut":
        del content[draw.randrange(len(content)) :]
    elif way == "empty":
        content.clear()
    file.write_bytes(content)
    if way == "delete":
        file.unlink()


def kinds(run: Path) -> dict[str, list[Path]]:
    """The files of a run by kind: their folder, or their name at the top."""
    found: dict[str, list[Path]] = {}
    for file in sorted(run.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.stat().st_size:
            place = file.relative_to(run).parts
            found.setdefault(place[0], []).append(file.relative_to(run))
    return found


class Damage:
    """One finished run, and what every command says about it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.whole, self.copy = folder, folder / "whole", folder / "copy"
        ended = call(*RUN, "--metrics", METRICS, "--out", self.whole)
        assert ended.code == 0, ended.err
        self.expected = snapshot(self.whole)
        self.record = next(name.split()[1] for name in self.expected if name.startswith("traces"))
        self.kinds = kinds(self.whole)
        shutil.copytree(self.whole, self.copy)
        self.said = {name: self._call(name) for name in self._commands()}

    def _commands(self) -> dict[str, tuple[object, ...]]:
        run, baseline, out = self.copy, self.folder / "whole", self.folder / "out"
        return {
            "leaderboard": ("leaderboard", run),
            "verify": ("verify", run),
            "status": ("status", run),
            "check": ("check", run, "--against", baseline),
            "figure": ("figure", run, "--record", self.record, "--out", out / "figure.svg"),
            "report": ("report", run, "--out", out / "page"),
            "rescore": ("rescore", run, "--metrics", METRICS),
            "run": (*RUN, "--metrics", METRICS, "--out", run),
        }

    def _call(self, name: str) -> Ended:
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        return call(*self._commands()[name])

    def tried(self, kind: str, way: str, command: str, draw: random.Random) -> tuple[str, str]:
        """What comes of a command on a damaged copy."""
        shutil.rmtree(self.copy)
        shutil.copytree(self.whole, self.copy)
        file = draw.choice(self.kinds[kind])
        damaged(self.copy / file, way, draw)
        ended = self._call(command)
        case = f"{way} {file}, {command}: code {ended.code}: {ended.last[:160]}"
        if ended.crashed:
            return "traceback", case
        if ended.code != self.said[command].code:
            return ("detected" if ended.one_line or command in ("verify", "check") else "other end"), case
        if command in ("run", "rescore"):
            different = differences(self.expected, self.copy)
            return ("silent", f"{case} {different[:3]}") if different else ("remade", case)
        if ended.out == self.said[command].out:
            return "harmless", case
        told = ("damaged", "missing", "not ", "cannot", "lost", "verify", "remade")
        return ("detected" if any(word in ended.out + ended.err for word in told) else "silent"), case


def lines(folder: Path, every: int) -> Iterator[Line]:
    """The lines of the table, one per kind of file, with every ``every``-th case."""
    damage = Damage(folder)
    draw = random.Random(0)
    commands = [name for name, ended in damage.said.items() if "No such command" not in ended.err]
    cases = list(product(damage.kinds, WAYS, commands))
    draw.shuffle(cases)
    promise = "detected, made again, refused, or without effect on what the command shows"
    found = {kind: Line(f"`{kind}` flipped, cut, emptied or deleted", promise) for kind in damage.kinds}
    for kind, way, command in cases[::every]:
        found[kind].add(*damage.tried(kind, way, command, draw))
    yield from found.values()
