"""The head of a report: one short table, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vcfe_bench.core.text import number
from vcfe_bench.report.gallery import World
from vcfe_bench.results.cells import Cell
from vcfe_bench.results.grid import Column
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.summary import ANSWERED, CALLS, NOT_COMPARABLE, SECONDS, summaries
from vcfe_bench.runs.command import command
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory

COSTS = {
    ANSWERED: "Videos with an answer, of those that the method was asked for.",
    CALLS: "Mean number of network calls per video that was asked, answered or not. 1 call is a forward pass of the "
    "generator's velocity on one video, or of the target in a run without a generator; a backward pass counts 2.",
    SECONDS: "Mean time per answered video in seconds, on the machine of the run.",
}


@dataclass(frozen=True)
class Head:
    """A column: its title, the better direction, and what it means."""

    title: str
    direction: str | None
    about: str


@dataclass(frozen=True)
class Line:
    """The row of a method; ``cells`` are pairs of a value and its 95 % interval, which is empty where there is none."""

    method: str
    reference: bool
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Summary:
    """The short table of a world."""

    title: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def summary(world: World, rows: pd.DataFrame, board: Leaderboard) -> Summary:
    """The summary of a world, ``rows`` of ``Leaderboard.frame``."""
    return of_board(world.title, replace(board, frame=rows, by=()))


def of_board(title: str, board: Leaderboard) -> Summary:
    """The summary of a leaderboard without divisions, with intervals and what its columns mean."""
    (table,) = summaries(board, intervals=True)
    cards = {card.name: card for card in board.metrics}
    heads = [_head(column, cards.get(source)) for column, source in zip(table.columns[1:], table.sources, strict=True)]
    lines = [_line(row, False) for row in table.methods] + [_line(row, True) for row in table.references]
    return Summary(title, tuple(heads), tuple(lines))


def _head(column: Column, card: ScoredCard | None) -> Head:
    if card is None:
        return Head(column.title, None if column.name == ANSWERED else "lower", COSTS[column.name])
    parts = (card.question, f"Source: {card.source}." if card.source else "", NOT_COMPARABLE if column.mark else "")
    return Head(column.title, column.direction, " ".join(filter(None, parts)))


def _line(row: Sequence[Cell], reference: bool) -> Line:
    first, *cells = row
    return Line(first.value, reference, tuple((cell.value, cell.interval) for cell in cells))


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a run come from; ``facts`` are pairs of a title and a text."""

    title: str
    file: str
    facts: tuple[tuple[str, str], ...]


def provenance(store: RunDirectory, file: str) -> Provenance:
    """What a run's directory says about its origin; its configuration is published as ``file``."""
    made, environment = store.configuration, store.run.get("environment", {})
    machine, versions = environment.get("machine", {}), environment.get("versions", {})
    facts = {
        "version": f"vcfe-bench {versions['vcfe-bench']}" if "vcfe-bench" in versions else "",
        "protocol": str(made.protocol),
        "revision": environment.get("revision") or "",
        "command": command(made),
        "machine": ", ".join(
            filter(None, (machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else ""))
        ),
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items() if name != "vcfe-bench"),
        f"target {made.target.spec}": f"hash of weights and settings {made.target.fingerprint}",
    }
    if made.generator:
        facts[f"generator {made.generator.spec}"] = f"hash of weights and settings {made.generator.fingerprint}"
    facts |= {f"code of {spec}": method.source for spec, method in made.methods.items()}
    return Provenance(_title(store), file, tuple((title, text) for title, text in facts.items() if text))


def _title(store: RunDirectory) -> str:
    made = store.configuration
    budget = f" · budget {number(made.budget)} calls" if made.budget else ""
    return f"{made.dataset} · {made.target.spec} · {made.split} split · {made.limit} videos · seed {made.seed}{budget}"
