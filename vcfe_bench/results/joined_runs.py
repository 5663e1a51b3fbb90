"""Several runs as one: which of their records make up a row, and which may not be mixed.

Records that differ in seed alone make up one row: same method with the same code and weights, same dataset, split,
target, generator, goals, number of videos and budget. A task that two runs have done counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.results.rows import (
    ALL,
    CHOICES,
    CONTEXT,
    DIVISIONS,
    FLIPPED,
    SEED,
    TARGET_RIGHT,
    Context,
    Joined,
    Row,
    declined,
    questions,
    shared_flips,
)
from vcfe_bench.runs import tables
from vcfe_bench.runs.configuration import NONE, REFERENCES, one_protocol, short_hash
from vcfe_bench.runs.records import Record, ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.tables import SET_COLUMNS


def read(paths: Sequence[Path], by: Sequence[str], among: str = ALL) -> Joined:
    """Join runs.

    Args:
        by: names among ``DIVISIONS`` that tables are divided by; with ``seed`` or ``target_right`` among them, these
            make separate rows.
        among: one of ``CHOICES``. ``flipped`` restricts each row to its own counterfactuals that meet their goal.
            ``flipped_by_all`` restricts rows that are equal in ``by``, reference methods too, to the questions (video
            and goal) whose goal was met by every method with results; reference methods have no say in this.

    Raises:
        UsageError: not a run or not scored, no such division or choice, a division by ``target_right`` where labels are
            values, runs that were made by different protocols, or a metric that has another version or feature network
            in another run.
    """
    for name in by:
        if name not in DIVISIONS:
            raise UsageError(f"tables cannot be divided by '{name}'; {nearest(name, DIVISIONS)}")
    if among not in CHOICES:
        raise UsageError(f"counterfactuals cannot be restricted to '{among}'; {nearest(among, CHOICES)}")
    runs = [_Run(path) for path in dict.fromkeys(paths)]
    one_protocol((run.path, run.store.configuration.protocol) for run in runs)
    cards = _cards(runs)
    parts = _parts(runs, by)
    notes = [note for part in parts for note in _ambiguous(part)]
    if TARGET_RIGHT in by:
        parts = [half for part in parts for half in _by_target_right(part)]
    parts, restriction = _restricted(parts, by, among)
    rows = sorted((part.row(cards) for part in parts), key=lambda row: row.method in REFERENCES)
    notes = [
        *restriction,
        *_separate(rows),
        *notes,
        *(note for run in runs for note in run.store.dataset_notes()),
        *_unavailable(runs, cards),
        *_undefined(rows),
    ]
    return Joined(tuple(rows), tuple(cards), sum(run.missing for run in runs), tuple(notes))


class _Run:
    """A run directory with its tables."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, RunDirectory(path)
        self.records, self.sets = tables.read_records(self.store), tables.read_sets(self.store)
        self.cards = tables.read_cards(self.store)
        self.missing = missing_tasks(self.store, self.records)

    @property
    def seed(self) -> int:
        return self.store.configuration.seed

    def context(self, method: str) -> Context:
        made = self.store.configuration
        content = made.write()
        code = {
            "method": content["methods"][method],
            "target": content["target"],
            "generator": content["generator"] or {"spec": NONE},
            "threads": made.threads,
        }
        return Context(
            dataset=made.dataset,
            split=made.split,
            target=made.target.spec,
            generator=made.generator.spec if made.generator else NONE,
            goals=made.goals,
            videos=made.limit,
            budget=NONE if made.budget is None or method in REFERENCES else f"{made.budget:g}",
            code=short_hash(code),
            seed=str(made.seed),
        )

    @cached_property
    def by_method(self) -> dict[str, pd.DataFrame]:
        return {str(method): records for method, records in self.records.groupby("method", sort=False)}


def missing_tasks(store: RunDirectory, records: pd.DataFrame) -> int:
    """How many planned tasks have no record."""
    plan = store.planned()
    return len(plan.tasks) - len(records) if plan else 0


def _cards(runs: Sequence[_Run]) -> list[ScoredCard]:
    """One card per metric: of the first run that could compute it, with the problems of the first that had any."""
    cards: dict[str, ScoredCard] = {}
    origin: dict[str, _Run] = {}
    for run in runs:
        for card in run.cards:
            known = cards.get(card.name)
            if known is None or (known.unavailable and not card.unavailable):
                cards[card.name], origin[card.name] = card, run
            elif not card.unavailable and not known.unavailable:
                _must_agree((known, origin[card.name]), (card, run))
                cards[card.name] = replace(known, problems=known.problems or card.problems)
    return list(cards.values())


def _must_agree(first: tuple[ScoredCard, _Run], second: tuple[ScoredCard, _Run]) -> None:
    for field, word in (("version", "version"), ("network", "feature network")):
        values = [getattr(card, field) for card, _ in (first, second)]
        if values[0] != values[1]:
            both = " and ".join(
                f"{value or 'unknown'} in {run.path}" for value, (_, run) in zip(values, (first, second), strict=True)
            )
            raise UsageError(f"{first[0].name} has {word} {both}: rescore them with one version of vcfe-bench")


@dataclass(frozen=True)
class _Part:
    """The records that become a row.

    Attributes:
        runs: where they come from; a column ``run`` of ``records`` has the place among these.
        differing: the number of tasks that have different results in different runs.
        complete: whether ``records`` are all records of the method in their runs.
    """

    method: str
    runs: Sequence[_Run]
    records: pd.DataFrame
    context: Context
    differing: int
    complete: bool = True

    @property
    def done(self) -> pd.DataFrame:
        return self.records[self.records["status"] == "ok"]

    def restricted(self, keep: pd.Series) -> _Part:
        """With these of the records; tasks that the method declined stay, to be counted as such."""
        return replace(self, records=self.records[keep | declined(self.records)], complete=False)

    def row(self, cards: Sequence[ScoredCard]) -> Row:
        members = [self.runs[number] for number in self.records["run"].unique()] or list(self.runs[:1])
        sets = members[0].sets if self.complete and len(members) == 1 else _sets(self, cards)
        return Row(self.method, self.context, self.records.drop(columns="run"), sets)


def _parts(runs: Sequence[_Run], by: Sequence[str]) -> list[_Part]:
    members: dict[tuple[str, Context], list[_Run]] = defaultdict(list)
    for run in runs:
        for method in run.store.configuration.methods:
            context = run.context(method)
            members[method, context if SEED in by else replace(context, seed="")].append(run)
    return [_part(method, same) for (method, _), same in members.items()]


def _part(method: str, runs: Sequence[_Run]) -> _Part:
    """All records of a method in runs that belong together, each task once."""
    tables = [run.by_method[method].assign(run=number) for number, run in enumerate(runs) if method in run.by_method]
    together = pd.concat(tables or [runs[0].records.head(0).assign(run=0)], ignore_index=True)
    done = together[together["status"] == "ok"]
    differing = int((done.groupby("id")["video_sha256"].nunique() > 1).sum())
    done_first = (together["status"] != "ok").sort_values(kind="stable").index
    records = together.loc[done_first].drop_duplicates("id").sort_index()
    members = [runs[number] for number in records["run"].unique()] or list(runs[:1])
    context = replace(
        runs[0].context(method),
        seed=", ".join(str(seed) for seed in sorted({run.seed for run in runs})),
        runs=", ".join(str(run.path) for run in members),
    )
    return _Part(method, runs, records, context, differing)


def _by_target_right(part: _Part) -> Iterator[_Part]:
    """The records for whose original the target predicts the true label, and the rest, as separate rows."""
    if not pd.api.types.is_integer_dtype(part.records["label"]):
        raise UsageError(f"tables cannot be divided by '{TARGET_RIGHT}': labels of {part.context.dataset} are values")
    right = part.records["label"] == part.records["prediction"]
    for keep, word in ((right, "yes"), (~right, "no")):
        context = replace(part.context, target_right=word)
        yield replace(part, records=part.records[keep], context=context, complete=False)


def _restricted(parts: Sequence[_Part], by: Sequence[str], among: str) -> tuple[list[_Part], list[str]]:
    """The parts with the records that ``among`` leaves, and notes on that."""
    if among == ALL:
        return list(parts), []
    parts = [replace(part, context=replace(part.context, among=among)) for part in parts]
    if among == FLIPPED:
        note = (
            "Only counterfactuals that meet their goal count: rows are over different videos, and distances between "
            "sets over different n."
        )
        return [part.restricted(part.records["met"].fillna(False).astype(bool)) for part in parts], [note]
    sections: dict[tuple[str | int, ...], list[_Part]] = defaultdict(list)
    for part in parts:
        sections[part.context.values(by)].append(part)
    restricted, notes = [], []
    for values, members in sections.items():
        shared, voting = shared_flips([(part.method, part.records) for part in members])
        restricted += [part.restricted(questions(part.records).isin(shared)) for part in members]
        where = ", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True))
        names = ", ".join(dict.fromkeys(voting)) or "no method"
        note = f"only the {len(shared)} questions whose goal was met by all of {names}."
        notes.append(f"{where}: {note}" if where else note)
    return restricted, notes


def _stored(run: _Run, ids: Iterable[str]) -> list[Record]:
    """The records that the run's journal has under these ids."""
    records = run.store.records()
    return [records[id] for id in ids]


def _sets(part: _Part, cards: Sequence[ScoredCard]) -> pd.DataFrame:
    """The table of set and pair metrics for the records of a part, computed from the features that its runs store."""
    from vcfe_bench.scoring.pooled import pooled  # reaches the registry of plug-ins, which no other table needs

    done = part.done
    shares = [
        (run.store, _stored(run, done.loc[done["run"] == number, "id"]))
        for number, run in enumerate(part.runs)
        if (done["run"] == number).any()
    ]
    rows = [
        pooled(part.method, card, shares)
        for card in cards
        if card.level in ("set", "pair") and not card.unavailable and shares
    ]
    return pd.DataFrame(rows, columns=SET_COLUMNS)


def _ambiguous(part: _Part) -> Iterator[str]:
    if part.differing:
        yield (
            f"{part.method}: {part.differing} results differ between runs although their tasks are the same; those of "
            "the first run are used."
        )


def _unavailable(runs: Sequence[_Run], cards: Sequence[ScoredCard]) -> Iterator[str]:
    """Which metrics are missing from some of the runs only, and why."""
    available = {card.name for card in cards if not card.unavailable}
    for run in runs:
        for card in run.cards:
            if card.unavailable and card.name in available:
                yield f"{card.name} is not available for {run.path}: {card.unavailable}"


def _undefined(rows: Sequence[Row]) -> Iterator[str]:
    """Which values over whole sets are missing, and why."""
    for row in rows:
        for _, line in row.sets[row.sets["method"] == row.method].iterrows():
            if line["reason"]:
                yield f"{line['metric']} of {row.method} is not available: {line['reason']}"


def _separate(rows: Sequence[Row]) -> Iterator[str]:
    """Why one method has several rows, where their names do not show it."""
    videos = sorted({row.context.videos for row in rows})
    if len(videos) > 1:
        numbers = ", ".join(str(number) for number in videos[:-1])
        yield (
            f"Runs over {numbers} and {videos[-1]} videos have separate rows: their means are over different videos, "
            "and distances between sets depend on n."
        )
    alike: dict[tuple[str | int, ...], dict[str, str]] = defaultdict(dict)
    for row in rows:
        alike[row.method, *row.context.values(CONTEXT)][row.context.code] = row.context.runs
    for (method, *_), codes in alike.items():
        if len(codes) > 1:
            runs = " / ".join(codes.values())
            yield f"{method} has separate rows: its code or weights differ between the runs {runs}."
