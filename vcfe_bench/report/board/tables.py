"""The committed and submitted tables in the order of the public pages: one board for each dataset and target."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from vcfe_bench.core.text import number
from vcfe_bench.results.gate import files
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.leaderboard import PARTS, Leaderboard
from vcfe_bench.results.submissions import description, rules
from vcfe_bench.results.submissions.description import Submission
from vcfe_bench.results.submissions.folder import STRIP
from vcfe_bench.runs.configuration import Configuration

FOLDER = "leaderboard"
"""Below ``docs``, of the pages of boards and of their files."""
OTHER = {"sample": {"low": math.nan, "high": math.nan}, **PARTS}
"""Columns that go with the value of a metric, by its level, with their defaults."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: path of its files below ``leaderboards``, without their suffix.
        path: of its ``.csv`` file.
        result: its content.
        submission: what is said about it where it was submitted.
        unmet: what it lacks of the protocol; empty if nothing.
    """

    name: str
    path: Path
    result: Result
    submission: Submission | None
    unmet: tuple[str, ...]

    @property
    def made(self) -> Configuration:
        return self.result.about.configuration

    @property
    def title(self) -> str:
        """Budget, number of videos and seed, and what else is not as usual."""
        made = self.made
        usual = {f"{made.split} split": made.split == "test", f"goals {made.goals}": made.goals == "one"}
        budget = f"{number_of(made.budget)} calls per video" if made.budget else "no common budget"
        parts = [budget, f"{made.limit} videos", *(text for text, as_usual in usual.items() if not as_usual)]
        title = ", ".join([*parts, self.seeds])
        return f"{self.submission.method}: {title}" if self.submission else title[0].upper() + title[1:]

    @property
    def seeds(self) -> str:
        """The seeds of the runs that the table is made of."""
        seeds = self.result.about.seeds or (self.made.seed,)
        return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"

    @property
    def files(self) -> list[Path]:
        """The files that exist."""
        return [file for suffix in (".csv", ".parquet", ".json") if (file := self.path.with_suffix(suffix)).exists()]

    @property
    def strip(self) -> str:
        """Path of the picture of a submission, below ``docs``; empty if there is none."""
        picture = self.path.with_name(STRIP)
        return f"{FOLDER}/{Path(self.name).with_name(STRIP).as_posix()}" if self.submission and picture.exists() else ""

    def leaderboard(self) -> Leaderboard:
        """The table as a leaderboard; columns that it does not have, as older ones, without values."""
        about, frame = self.result.about, self.result.frame.copy()
        frame["reasons"] = frame["reasons"].astype(object).fillna("") if "reasons" in frame else ""
        usual: dict[str, Any] = {"answered": frame["n"] - frame["failed"] - frame["skipped"], "declined": 0}
        usual |= dict.fromkeys(("calls", "seconds", "peak_memory_mb"), math.nan)
        for card in about.metrics:
            parts = OTHER[card.level] if card.level else {}
            usual |= {f"{card.name}_{part}": value for part, value in parts.items()}
            usual |= {f"{card.name}_n": frame["n"]} if card.level == "sample" else {}
        for name in usual.keys() - set(frame):
            frame[name] = usual[name]
        return Leaderboard(frame.copy(), about.metrics)


@dataclass(frozen=True)
class Board:
    """The tables of a dataset and a target: first those that keep the protocol, by decreasing budget."""

    dataset: str
    target: str
    tables: tuple[Table, ...]

    @property
    def title(self) -> str:
        return f"{self.dataset} · {self.target}"

    @property
    def page(self) -> str:
        """Name of its page, without the suffix."""
        return re.sub(r"\W+", "_", f"{self.dataset}-{self.target}").strip("_")


def number_of(calls: float) -> str:
    """A number of calls; whole numbers without decimals."""
    return f"{calls:,.0f}" if calls == round(calls) else number(calls)


def read(folder: Path) -> list[Board]:
    """The boards of a folder ``leaderboards``, by dataset and target.

    Raises:
        UsageError: a table or a submission cannot be read.
    """
    tables = [_table(path, folder) for path in folder.glob("*.csv")]
    for file in folder.glob(f"{description.FOLDER}/*/{description.FILE}"):
        about = description.read(file)
        tables += [_table(file.with_name(f"{name}.csv"), folder, about) for name in about.tables]
    tables.sort(key=_place)
    groups = groupby(tables, key=lambda table: (table.made.dataset, table.made.target.spec))
    return [Board(dataset, target, tuple(members)) for (dataset, target), members in groups]


def _table(path: Path, folder: Path, submission: Submission | None = None) -> Table:
    result = files.read(path)
    name = path.with_suffix("").relative_to(folder).as_posix()
    return Table(name, path, result, submission, tuple(rules.unmet(result)))


def _place(table: Table) -> tuple[object, ...]:
    made = table.made
    kept = not table.unmet
    return (
        *(made.dataset, made.target.spec),
        *(not kept, -(made.budget or 0.0), table.submission is not None),
        *(-made.protocol, -table.result.about.scheme, -made.limit, -len(made.methods), made.seed, table.name),
    )
