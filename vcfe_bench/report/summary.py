"""The head of a report: one short table, and where its numbers come from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from vcfe_bench.core.text import number
from vcfe_bench.report.gallery import World
from vcfe_bench.results.cells import ARROWS, MISSING
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.runs.configuration import NONE, REFERENCES
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory

FAMILIES = (
    *("FR", "semantic_FR", "valid_share", "MAE", "R2", "negative_class", "positive_drop", "concept"),
    *("SSIM", "LPIPS", "FID", "FVD"),
)
"""Metrics of the summary: of each family the first that has values."""
COSTS = {
    "calls": "Mean number of network calls per answered video. 1 call is a forward pass of the generator's velocity on "
    "one video, or of the target in a run without a generator; a backward pass counts 2.",
    "seconds": "Mean time per answered video in seconds, on the machine of the run.",
}
TITLES = {"calls": "calls ↓", "seconds": "s/video ↓"}


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
    """The table of a world, ``rows`` of ``Leaderboard.frame``: methods first, then the reference methods."""
    cards = list(_chosen(rows, board.metrics))
    costs = [name for name in COSTS if rows[name].notna().any()]
    heads = [Head(card.name + ARROWS[card.direction], card.direction, _about(card)) for card in cards]
    heads += [Head(TITLES[name], "lower", COSTS[name]) for name in costs]
    lines = [
        Line(
            row["method"],
            row["method"] in REFERENCES,
            (*(_cell(row, card) for card in cards), *((_number(row[name]), "") for name in costs)),
        )
        for _, row in rows.iterrows()
    ]
    return Summary(world.title, tuple(heads), tuple(sorted(lines, key=lambda line: line.reference)))


def _chosen(rows: pd.DataFrame, cards: Sequence[ScoredCard]) -> Iterator[ScoredCard]:
    for family in FAMILIES:
        named = (card for card in cards if re.fullmatch(rf"{family}(\W.*)?", card.name))
        first = next((card for card in named if card.level and rows[card.name].notna().any()), None)
        if first:
            yield first


def _about(card: ScoredCard) -> str:
    return " ".join(filter(None, (card.question, f"Source: {card.source}." if card.source else "")))


def _cell(row: pd.Series, card: ScoredCard) -> tuple[str, str]:
    low, high = row[f"{card.name}_low"], row[f"{card.name}_high"]
    return _number(row[card.name]), "" if pd.isna(low) else f"{number(low)} to {number(high)}"


def _number(value: float) -> str:
    return MISSING if pd.isna(value) else number(value)


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
        "revision": environment.get("revision") or "",
        "command": command(store),
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


def command(store: RunDirectory) -> str:
    """The command that repeats a run."""
    made = store.configuration
    options = {
        "methods": ",".join(method for method in made.methods if method not in REFERENCES),
        "dataset": made.dataset,
        "split": made.split,
        "limit": made.limit,
        "goals": made.goals,
        "target": made.target.spec,
        "generator": made.generator.spec if made.generator else NONE,
        "seed": made.seed,
        "budget": made.budget,
    }
    words = (f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value not in ("", None))
    return " ".join(["vcfe-bench run", *words])
