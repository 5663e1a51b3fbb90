"""Several runs as one: which of their records make a row together, and what must not be mixed.

Records make a row where they differ in seed alone: same method with the same code and weights, same dataset, split,
target, generator, goals and number of videos. The same task done by two runs counts once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench import request, scoring
from vcfe_bench.errors import UsageError, nearest
from vcfe_bench.records import RECORDS
from vcfe_bench.scoring import METRICS, SET_COLUMNS, SETS
from vcfe_bench.store import Store

CONTEXT = ("dataset", "split", "target", "generator", "goals", "videos")
"""What a row belongs to besides its method; ``videos`` is the number that was asked for."""
CODE, SEED = "code", "seed"
DIVISIONS = (*CONTEXT, SEED)
"""What tables may be divided by."""


@dataclass(frozen=True)
class Row:
    """What one row of a table rests on.

    ``context`` has ``DIVISIONS`` (``seed`` lists all), ``code`` (hash of the method's code and of all weights) and
    ``runs``; ``records`` and ``sets`` have the columns of a run's own tables.
    """

    method: str
    context: Mapping[str, Any]
    records: pd.DataFrame
    sets: pd.DataFrame


@dataclass(frozen=True)
class Pool:
    """Rows in the order of the runs, references last; ``metrics`` are cards, ``missing`` counts tasks not run yet."""

    rows: tuple[Row, ...]
    metrics: list[dict[str, Any]]
    missing: int
    notes: tuple[str, ...]


def read(paths: Sequence[Path], by: Sequence[str]) -> Pool:
    """Join runs; with ``seed`` among ``by``, seeds make rows of their own.

    Raises:
        UsageError: not a run or not scored, no such division, or a metric that has another version or feature network
            in another run.
    """
    for name in by:
        if name not in DIVISIONS:
            raise UsageError(f"tables cannot be divided by '{name}'; {nearest(name, DIVISIONS)}")
    runs = [_Run(path) for path in dict.fromkeys(paths)]
    cards = _cards(runs)
    keys = ["method", *CONTEXT, CODE, *([SEED] if SEED in by else [])]
    parts: dict[tuple, list[_Run]] = defaultdict(list)
    for run in runs:
        for method in run.store.configuration["methods"]:
            parts[tuple(run.context(method)[key] for key in keys)].append(run)
    found = [_row(key[0], members, cards) for key, members in parts.items()]
    rows = sorted((row for row, _ in found), key=lambda row: row.method in request.REFERENCES)
    notes = [*_apart(rows), *(note for _, note in found if note), *_empty(runs, cards), *_undefined(rows)]
    return Pool(tuple(rows), cards, sum(run.missing for run in runs), tuple(notes))


class _Run:
    """A run directory with its tables."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, Store(path)
        self.records, self.sets = self.store.table(RECORDS), self.store.table(SETS)
        self.cards: list[dict[str, Any]] = self.store.json(METRICS)
        self.missing = sum(len(line["tasks"]) for line in self.store.lines("plan")) - len(self.records)

    def context(self, method: str) -> dict[str, Any]:
        made = self.store.configuration
        target, generator = made["target"], made["generator"] or {"spec": request.NONE}
        code = {"method": made["methods"][method], "target": target, "generator": generator, "threads": made["threads"]}
        return {
            "method": method,
            "dataset": made["dataset"],
            "split": made["split"],
            "target": target["spec"],
            "generator": generator["spec"],
            "goals": made["goals"],
            "videos": made["limit"],
            CODE: request.short_hash(code),
            SEED: made["seed"],
        }

    @cached_property
    def rows(self) -> dict[str, pd.DataFrame]:
        return {str(method): records for method, records in self.records.groupby("method", sort=False)}


def _cards(runs: Sequence[_Run]) -> list[dict[str, Any]]:
    """One card per metric: of the first run that could compute it, with the problems of all."""
    found: dict[str, dict[str, Any]] = {}
    origin: dict[str, _Run] = {}
    for run in runs:
        for card in run.cards:
            name = card["name"]
            known = found.get(name)
            if known is not None and not card["unavailable"] and not known["unavailable"]:
                _must_agree(name, (known, origin[name]), (card, run))
                known["problems"] = known["problems"] or card["problems"]
            elif known is None or (known["unavailable"] and not card["unavailable"]):
                found[name], origin[name] = dict(card), run
    return list(found.values())


def _must_agree(name: str, first: tuple[dict[str, Any], _Run], second: tuple[dict[str, Any], _Run]) -> None:
    for field, word in (("version", "version"), ("network", "feature network")):
        values = [card.get(field) for card, _ in (first, second)]
        if values[0] != values[1]:
            said = " and ".join(
                f"{value or 'unknown'} in {run.path}" for value, (_, run) in zip(values, (first, second), strict=True)
            )
            raise UsageError(f"{name} has {word} {said}: score them anew with one version of vcfe-bench")


def _row(method: str, runs: Sequence[_Run], cards: Sequence[Mapping[str, Any]]) -> tuple[Row, str | None]:
    """The row of a method over runs that belong together, and what is odd about it."""
    tables = [run.rows[method].assign(run=number) for number, run in enumerate(runs) if method in run.rows]
    together = pd.concat(tables or [runs[0].records.head(0).assign(run=0)], ignore_index=True)
    done = together[together["status"] == "ok"]
    differing = int((done.groupby("id")["video_sha256"].nunique() > 1).sum())
    done_first = (together["status"] != "ok").sort_values(kind="stable").index
    records = together.loc[done_first].drop_duplicates("id").sort_index()
    members = [runs[number] for number in records["run"].unique()] or list(runs[:1])
    context = {
        **runs[0].context(method),
        SEED: ", ".join(str(seed) for seed in sorted({run.store.configuration["seed"] for run in runs})),
        "runs": ", ".join(str(run.path) for run in members),
    }
    del context["method"]
    sets = members[0].sets if len(members) == 1 else _sets(method, runs, records, cards)
    note = f"{method}: {differing} results are not the same in all runs though made alike; the first run's count."
    return Row(method, context, records.drop(columns="run"), sets), note if differing else None


def _sets(method: str, runs: Sequence[_Run], records: pd.DataFrame, cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of ``sets_table`` for a method over several runs. A floor stays where it is that of every run."""
    done = records[records["status"] == "ok"]
    parts = [(runs[number], done[done["run"] == number].to_dict("records")) for number in done["run"].unique()]
    lines = []
    for card in cards:
        if card["level"] in ("set", "pair") and not card["unavailable"] and parts:
            known = pd.concat([run.sets for run, _ in parts])
            known = known[(known["method"] == method) & (known["metric"] == card["name"])]
            floors = set(zip(known["floor"], known["floor_n"], strict=True))
            floor, floor_n = floors.pop() if len(floors) == 1 else (math.nan, 0)
            found = scoring.pooled([(run.store, rows) for run, rows in parts], card["spec"])
            about = {"method": method, "metric": card["name"], "version": card["version"]}
            lines.append({**about, **found, "floor": floor, "floor_n": floor_n})
    return pd.DataFrame(lines, columns=SET_COLUMNS)


def _empty(runs: Sequence[_Run], cards: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which metrics some of the runs could not compute, and why."""
    available = {card["name"] for card in cards if not card["unavailable"]}
    for run in runs:
        for card in run.cards:
            if card["unavailable"] and card["name"] in available:
                yield f"{card['name']} is empty for {run.path}: {card['unavailable']}"


def _undefined(rows: Sequence[Row]) -> Iterator[str]:
    """Which values over whole sets are missing, and why."""
    for row in rows:
        for _, line in row.sets[row.sets["method"] == row.method].iterrows():
            if line["reason"]:
                yield f"{line['metric']} of {row.method} is empty: {line['reason']}"


def _apart(rows: Sequence[Row]) -> Iterator[str]:
    """Why rows of one method stand apart, where a reader would not see it from their names."""
    videos = sorted({row.context["videos"] for row in rows})
    if len(videos) > 1:
        numbers = ", ".join(str(number) for number in videos[:-1])
        yield (
            f"Runs over {numbers} and {videos[-1]} videos stand in rows of their own: their means are over different "
            "videos, and distances between sets depend on n."
        )
    alike: dict[tuple, dict[str, str]] = defaultdict(dict)
    for row in rows:
        alike[row.method, *(row.context[key] for key in CONTEXT)][row.context[CODE]] = row.context["runs"]
    for (method, *_), codes in alike.items():
        if len(codes) > 1:
            yield f"{method}: code or weights differ between the runs {' / '.join(codes.values())}: rows of their own."
