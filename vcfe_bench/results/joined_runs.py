"""Several runs as one: which of their records make a row together, and what must not be mixed.

Records make a row where they differ in seed alone: same method with the same code and weights, same dataset, split,
target, generator, goals and number of videos. The same task done by two runs counts once.

A row may rest on some of its videos only: those that its method flipped, those that every method flipped, those on
which the target was right before the change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.runs.configuration import NONE, REFERENCES, short_hash
from vcfe_bench.runs.run_directory import METRICS, RECORDS, SETS, RunDirectory
from vcfe_bench.runs.tables import SET_COLUMNS
from vcfe_bench.scoring.sets import pooled

CONTEXT = ("dataset", "split", "target", "generator", "goals", "videos")
"""What a row belongs to besides its method; ``videos`` is the number that was asked for."""
CODE, SEED, TARGET_RIGHT, AMONG = "code", "seed", "target_right", "among"
DIVISIONS = (*CONTEXT, SEED, TARGET_RIGHT)
"""What tables may be divided by; ``target_right``: whether the target gave the original its true label."""
ALL, FLIPPED, FLIPPED_BY_ALL = "all", "flipped", "flipped_by_all"
CHOICES = (ALL, FLIPPED, FLIPPED_BY_ALL)
"""Which counterfactuals a table may rest on."""


@dataclass(frozen=True)
class Row:
    """What one row of a table rests on.

    ``context`` has ``CONTEXT``, ``seed`` (all seeds), ``code`` (hash of the method's code and of all weights),
    ``among``, ``runs``, and ``target_right`` where that divides; ``records`` and ``sets`` have the columns of a run's
    own tables.
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


def read(paths: Sequence[Path], by: Sequence[str], among: str = ALL) -> Pool:
    """Join runs; with ``seed`` or ``target_right`` among ``by``, these make rows of their own.

    ``among`` is one of ``CHOICES``. ``flipped``: counterfactuals that meet their goal, for each row its own.
    ``flipped_by_all``: questions (video and goal) whose goal was met by every method with results, references not
    asked, among the rows that are equal in ``by``; all of these rows, references too, then rest on the same questions.

    Raises:
        UsageError: not a run or not scored, no such division or choice, a division by ``target_right`` where labels are
            values, or a metric that has another version or feature network in another run.
    """
    for name in by:
        if name not in DIVISIONS:
            raise UsageError(f"tables cannot be divided by '{name}'; {nearest(name, DIVISIONS)}")
    if among not in CHOICES:
        raise UsageError(f"a table cannot be made among '{among}'; {nearest(among, CHOICES)}")
    runs = [_Run(path) for path in dict.fromkeys(paths)]
    cards = _cards(runs)
    keys = ["method", *CONTEXT, CODE, *([SEED] if SEED in by else [])]
    found: dict[tuple, list[_Run]] = defaultdict(list)
    for run in runs:
        for method in run.store.configuration["methods"]:
            found[tuple(run.context(method)[key] for key in keys)].append(run)
    parts = [_part(key[0], members) for key, members in found.items()]
    notes = [note for note in map(_ambiguous, parts) if note]
    if TARGET_RIGHT in by:
        parts = [half for part in parts for half in _by_target_right(part)]
    parts, about = _chosen(parts, by, among)
    rows = sorted((part.row(cards) for part in parts), key=lambda row: row.method in REFERENCES)
    notes = [*about, *_apart(rows), *notes, *_empty(runs, cards), *_undefined(rows)]
    return Pool(tuple(rows), cards, sum(run.missing for run in runs), tuple(notes))


class _Run:
    """A run directory with its tables."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, RunDirectory(path)
        self.records, self.sets = self.store.table(RECORDS), self.store.table(SETS)
        self.cards: list[dict[str, Any]] = self.store.json(METRICS)
        self.missing = sum(len(line["tasks"]) for line in self.store.lines("plan")) - len(self.records)

    def context(self, method: str) -> dict[str, Any]:
        made = self.store.configuration
        target, generator = made["target"], made["generator"] or {"spec": NONE}
        code = {"method": made["methods"][method], "target": target, "generator": generator, "threads": made["threads"]}
        return {
            "method": method,
            "dataset": made["dataset"],
            "split": made["split"],
            "target": target["spec"],
            "generator": generator["spec"],
            "goals": made["goals"],
            "videos": made["limit"],
            CODE: short_hash(code),
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


@dataclass(frozen=True)
class _Part:
    """A row in the making: its records name their run by its number among ``runs``; ``whole``: none was taken away."""

    method: str
    runs: Sequence[_Run]
    records: pd.DataFrame
    context: Mapping[str, Any]
    differing: int
    whole: bool = True

    @property
    def done(self) -> pd.DataFrame:
        return self.records[self.records["status"] == "ok"]

    def only(self, keep: pd.Series) -> _Part:
        """With these records; failed and skipped ones stay."""
        return replace(self, records=self.records[keep | (self.records["status"] != "ok")], whole=False)

    def row(self, cards: Sequence[Mapping[str, Any]]) -> Row:
        members = [self.runs[number] for number in self.records["run"].unique()] or list(self.runs[:1])
        if self.whole and len(members) == 1:
            sets = members[0].sets
        else:
            sets = _sets(self.method, self.runs, self.records, cards)
        return Row(self.method, self.context, self.records.drop(columns="run"), sets)


def _part(method: str, runs: Sequence[_Run]) -> _Part:
    """All records of a method over runs that belong together, each task once."""
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
        AMONG: ALL,
        "runs": ", ".join(str(run.path) for run in members),
    }
    del context["method"]
    return _Part(method, runs, records, context, differing)


def _ambiguous(part: _Part) -> str | None:
    if not part.differing:
        return None
    return (
        f"{part.method}: {part.differing} results are not the same in all runs though made alike; "
        "the first run's count."
    )


def _by_target_right(part: _Part) -> Iterator[_Part]:
    """The records on whose original the target was right, and the others, as rows of their own."""
    if not pd.api.types.is_integer_dtype(part.records["label"]):
        raise UsageError(
            f"tables cannot be divided by '{TARGET_RIGHT}': labels of {part.context['dataset']} are values"
        )
    right = part.records["label"] == part.records["prediction"]
    for keep, word in ((right, "yes"), (~right, "no")):
        context = {**part.context, TARGET_RIGHT: word}
        yield replace(part, records=part.records[keep], context=context, whole=False)


def _chosen(parts: Sequence[_Part], by: Sequence[str], among: str) -> tuple[list[_Part], list[str]]:
    """The parts with the records that ``among`` asks for, and what a reader should know of that."""
    if among == ALL:
        return list(parts), []
    parts = [replace(part, context={**part.context, AMONG: among}) for part in parts]
    if among == FLIPPED:
        note = "Only counterfactuals that meet their goal: rows rest on different videos, and set distances on other n."
        return [part.only(part.records["met"].fillna(False).astype(bool)) for part in parts], [note]
    sections: dict[tuple, list[_Part]] = defaultdict(list)
    for part in parts:
        sections[tuple(part.context[name] for name in by)].append(part)
    chosen, notes = [], []
    for values, members in sections.items():
        asked = [part for part in members if part.method not in REFERENCES and len(part.done)]
        shared = set.intersection(*map(_flipped, asked)) if asked else set()
        chosen += [part.only(_questions(part.records).isin(shared)) for part in members]
        where = ", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True))
        names = ", ".join(dict.fromkeys(part.method for part in asked)) or "no method"
        notes.append(
            f"{where}: ".lstrip(": ") + f"only the {len(shared)} questions whose goal was met by all of {names}."
        )
    return chosen, notes


def _questions(records: pd.DataFrame) -> pd.Series:
    """Video and goal of each record."""
    return pd.Series(list(zip(records["sample"], records["goal"], strict=True)), index=records.index, dtype=object)


def _flipped(part: _Part) -> set[tuple[str, str]]:
    """Questions whose goal was met with every seed."""
    met = part.done["met"].fillna(False).astype(bool).groupby(_questions(part.done)).all()
    return set(met.index[met])


def _sets(method: str, runs: Sequence[_Run], records: pd.DataFrame, cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of ``sets_table`` for some records of a method."""
    done = records[records["status"] == "ok"]
    parts = [(runs[number], done[done["run"] == number].to_dict("records")) for number in done["run"].unique()]
    lines = []
    for card in cards:
        if card["level"] in ("set", "pair") and not card["unavailable"] and parts:
            found = pooled([(run.store, rows) for run, rows in parts], card["spec"])
            about = {"method": method, "metric": card["name"], "version": card["version"]}
            lines.append({**about, **found})
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
