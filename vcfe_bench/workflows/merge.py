"""``vcfe-bench merge``: join the shards of a run into the run that one machine would have made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import apart
from vcfe_bench.runs.configuration import one_protocol
from vcfe_bench.runs.journal import DatasetNotes, Planned, Scores, Session
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import CURVES, RunDirectory
from vcfe_bench.scoring.session import score_run
from vcfe_bench.workflows.scored_run import scored_run


def merge(shards: Sequence[Path], out: Path, observer: Observer | None = None) -> None:
    """Copy the results of all shards of a run into the directory ``out``, and compute what is about whole sets.

    An interrupted merge resumes. The shards are only read.

    Raises:
        UsageError: the directories are not all the shards of one run, a shard is unfinished, or ``out`` holds something
            else.
    """
    observer = observer or Observer()
    parts = [RunDirectory(path) for path in shards]
    plans = [_plan(part) for part in parts]
    _check_question(parts)
    _check_complete(parts, plans)
    if out.resolve() in {path.resolve() for path in shards}:
        raise UsageError(f"{out} is one of the shards; choose another --out")
    with scored_run(out, parts[0].configuration) as store:
        _join_plan(store, parts, plans)
        _join_results(store, parts, observer)
        dataset = apart.dataset(store.configuration.dataset)
        specs = dict.fromkeys(card.spec for part in parts for card in part.cards())
        score_run(store, dataset, tuple(specs) or None, observer)


def _plan(part: RunDirectory) -> Planned:
    plan = part.planned()
    if plan is None or plan.shard is None:
        raise UsageError(f"{part.path} is not a shard: it was run without --shard")
    return plan


def _check_question(parts: Sequence[RunDirectory]) -> None:
    one_protocol((part.path, part.configuration.protocol) for part in parts)
    first = parts[0]
    for part in parts[1:]:
        difference = first.configuration.other_question(part.configuration)
        if difference is None and first.configuration.limit != part.configuration.limit:
            difference = f"limit {first.configuration.limit}, not {part.configuration.limit}"
        for spec, identity in first.configuration.methods.items():
            if part.configuration.methods.get(spec) != identity:
                difference = f"method {spec} is missing or differs"
        if difference or len(part.configuration.methods) != len(first.configuration.methods):
            raise UsageError(f"{first.path} and {part.path} are of different runs: {difference or 'other methods'}")


def _check_complete(parts: Sequence[RunDirectory], plans: Sequence[Planned]) -> None:
    """Whether each shard of the run is there once, and every task of it has a record."""
    count = plans[0].shard[1] if plans[0].shard else 1
    places: dict[int, Path] = {}
    for part, plan in zip(parts, plans, strict=True):
        assert plan.shard is not None
        index = plan.shard[0]
        if plan.shard[1] != count or plan.whole != plans[0].whole:
            raise UsageError(f"{parts[0].path} and {part.path} are shards of different plans")
        if index in places:
            raise UsageError(f"{places[index]} and {part.path} are both shard {index}/{count}; give each shard once")
        places[index] = part.path
        left = len(set(plan.tasks) - part.journal.state.tasks.keys())
        if left:
            raise UsageError(
                f"{part.path} is unfinished: {left} of {len(plan.tasks)} tasks have no result; run it again"
            )
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in places]
    if missing:
        raise UsageError(f"the shards {', '.join(missing)} are missing")


def _join_plan(store: RunDirectory, parts: Sequence[RunDirectory], plans: Sequence[Planned]) -> None:
    known = set(store.originals())
    for part in parts:
        for index, original in part.originals().items():
            if index not in known:
                known.add(index)
                store.append(original)
    whole = Planned(plans[0].whole, plans[0].others)
    if store.planned() != whole:
        store.append(whole)
        store.append(DatasetNotes(parts[0].dataset_notes()))
        for part in parts:
            for session in part.entries(Session):
                store.append(session)


def _join_results(store: RunDirectory, parts: Sequence[RunDirectory], observer: Observer) -> None:
    """Copy records with what belongs to them, in the order of the plan; scores follow the record they are of."""
    plan = store.planned()
    assert plan is not None
    source = {id: (part, record) for part in parts for id, record in part.records().items()}
    scores = {part.path: _scores(part) for part in parts}
    known = store.journal.state.tasks.keys()
    for count, id in enumerate(plan.tasks, 1):
        part, record = source[id]
        if id not in known:
            _copy_files(store, part, record)
            store.append(record)
            for entry in scores[part.path].get(id, ()):
                store.append(entry)
        observer.scored(count, len(plan.tasks), "results joined")


def _scores(part: RunDirectory) -> dict[str, list[Scores]]:
    found: dict[str, list[Scores]] = {}
    for entry in part.scores():
        found.setdefault(entry.id, []).append(entry)
    return found


def _copy_files(store: RunDirectory, part: RunDirectory, record: Record) -> None:
    if record.video is None:
        return
    fps = {original.video: original.fps for original in part.originals().values()}[record.original]
    for name in _absent(store, record):
        store.put_video(name, part.video(name), fps)
    for folder in ("traces", "artefacts", CURVES):
        store.put_arrays(folder, record.id, part.arrays(folder, record.id) or {})


def _absent(store: RunDirectory, record: Record) -> Iterator[str]:
    names = [record.original, *([record.video] if record.video else [])]
    return (name for name in names if not store.has_video(name))
