"""Published numbers of the papers alongside ours, as ``leaderboards/paper/alongside.json`` relates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from vcfe_bench.results.submissions import rules

FOLDER = "paper"
FILE = "alongside.json"


@dataclass(frozen=True)
class Published:
    """A published table about a dataset and a target.

    Attributes:
        file: its name, ``source`` the paper and the number of the table.
        methods: our names of its methods, ``metrics`` our metrics that measure the same as its columns, one of which
            a table of ours has.
    """

    file: str
    source: str
    dataset: str
    target: str
    methods: Mapping[str, str]
    metrics: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Side:
    """A row of the paper, or of ours; ``cells`` are as text, empty where there is no value."""

    method: str
    published: bool
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A published table with our rows of the same methods."""

    source: str
    columns: tuple[str, ...]
    sides: tuple[Side, ...]


_PUBLISHED: TypeAdapter[tuple[Published, ...]] = TypeAdapter(tuple[Published, ...])


def read(folder: Path) -> tuple[Published, ...]:
    """The published tables that are related to ours; none if the folder ``leaderboards`` has none."""
    path = folder / FOLDER / FILE
    return _PUBLISHED.validate_json(path.read_bytes()) if path.exists() else ()


def alongside(published: Published, folder: Path, ours: pd.DataFrame) -> Comparison:
    """A published table with the rows of ``ours``, a ``Leaderboard.frame``."""
    theirs = pd.read_csv(folder / FOLDER / published.file, dtype=str, keep_default_na=False)
    return Comparison(published.source, tuple(published.metrics), tuple(_sides(published, theirs, ours)))


def _sides(published: Published, theirs: pd.DataFrame, ours: pd.DataFrame) -> Iterator[Side]:
    for _, row in theirs.iterrows():
        yield Side(row["method"], True, tuple(row[column] for column in published.metrics))
        same = ours["method"].map(rules.name) == published.methods.get(row["method"])
        for _, mine in ours[same].iterrows():
            yield Side(mine["method"], False, tuple(_value(mine, names) for names in published.metrics.values()))


def _value(row: pd.Series, names: tuple[str, ...]) -> str:
    values = (row[name] for name in names if name in row and pd.notna(row[name]))
    return next((f"{value:.2f}" for value in values), "")
