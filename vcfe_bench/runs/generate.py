"""Runs every task that is planned and has no result yet, and stores the result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from vcfe_bench.core.environment import environment
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor, Lost, Work
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.outputs import checked_output
from vcfe_bench.plugins.method import Progress
from vcfe_bench.runs import damage, plan
from vcfe_bench.runs.changes import superseded
from vcfe_bench.runs.journal import DatasetNotes, Original, Planned, Reused, Session
from vcfe_bench.runs.micro_batch import Batch, BatchWork, Outcome
from vcfe_bench.runs.needs import needs_of
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.reference_cache import ReferenceCache
from vcfe_bench.runs.run_directory import ARTEFACTS, TRACES, VIDEOS, RunDirectory
from vcfe_bench.runs.setup import Setup
from vcfe_bench.runs.shards import Shard
from vcfe_bench.video import lossless


def generate(
    setup: Setup,
    store: RunDirectory,
    observer: Observer,
    executor: Executor | None = None,
    shard: Shard | None = None,
) -> None:
    """Run every task of the setup, or of its ``shard``, that has no result yet; failed tasks are tried again.

    Without an ``executor``, everything runs in this process.

    Raises:
        UsageError: no video suits the goals, or the directory holds another shard.
    """
    before = store.planned()
    if before is not None and before.shard != (shard and (shard.index, shard.count)):
        held = f"shard {before.shard[0]}/{before.shard[1]}" if before.shard else "all shards"
        raise UsageError(
            f"{store.path} holds {held} of this run, not {f'shard {shard}' if shard else 'all'}: "
            "give the same --shard as before, or another --out"
        )
    originals = Originals(setup, store.originals())
    planned = plan.make(setup, originals)
    complete(setup, store, planned, originals, observer, BatchWork(setup), executor or InProcess(), shard)


def complete(
    setup: Setup,
    store: RunDirectory,
    planned: Plan,
    originals: Originals,
    observer: Observer,
    work: Work[Batch, list[Outcome]],
    executor: Executor,
    shard: Shard | None = None,
) -> None:
    """Enter a plan into the journal and run its tasks that have no result yet: ``work`` on each micro-batch.

    Results of reference methods are taken from the cache where it has them.
    """
    whole, planned = planned, shard.of(planned) if shard else planned
    record_plan(store, planned, originals, _entry(planned, whole, shard))
    record_notes(setup, store)
    for tasks in superseded(planned, store):
        observer.superseded(tasks)
    cache = ReferenceCache(setup)
    again = _mend(setup, store, observer)
    done = {id for id, task in store.journal.state.of_plan() if task.final} - again
    reused = [keep(setup, store, outcome) for outcome in cache.outcomes(planned.tasks, done)]
    if reused:
        store.append(Reused(tuple(record.id for record in reused)))
        observer.reused(reused)
    batches = planned.batches(done | {record.id for record in reused})
    observer.planned(planned, batches, len(done))
    if not batches:
        return
    store.append(Session(**environment()))
    items = [(batch.method.spec, batch.tasks) for batch in batches]
    needs = [needs_of(setup, batch.method) for batch in batches]
    results = executor.execute(work, items, needs, _Events(observer, batches))
    with closing(results):
        for place, result in results:
            outcomes = _lost(batches[place], result) if isinstance(result, Lost) else result
            for outcome in outcomes:
                cache.keep(outcome)
            observer.finished([keep(setup, store, outcome) for outcome in outcomes])
    cache.shrink()


@dataclass(frozen=True)
class _Events:
    """Passes the events of an executor on to an observer, as those of micro-batches."""

    observer: Observer
    batches: Sequence[MicroBatch]

    def began(self, item: int) -> None:
        self.observer.began(self.batches[item])

    def reported(self, item: int, update: Progress) -> None:
        self.observer.progress(self.batches[item], update)


def _lost(batch: MicroBatch, lost: Lost) -> list[Outcome]:
    """Failed outcomes of all tasks of a micro-batch."""
    return [Outcome(task, task.record("failed", lost.reason, lost.details)) for task in batch.tasks]


def _mend(setup: Setup, store: RunDirectory, observer: Observer) -> set[str]:
    """Make originals that are damaged or missing again, and tell what was damaged; the tasks that have to run again."""
    damaged = damage.find(store)
    if damaged.names():
        store.mended.append(damaged.sentence(store.path))
    originals = store.originals()
    lost = set(damaged.originals)
    for original in originals.values():
        if f"{VIDEOS}/{original.video}{lossless.SUFFIX}" in lost:
            _put_original(setup, store, original)
    for text in store.mended:
        observer.warned(text)
    store.mended.clear()
    return set(damaged.results)


def _entry(planned: Plan, whole: Plan, shard: Shard | None) -> Planned:
    ids = tuple(task.id for task in planned.tasks)
    if shard is None:
        return Planned(ids, planned.others)
    return Planned(ids, planned.others, (shard.index, shard.count), tuple(task.id for task in whole.tasks))


def record_plan(store: RunDirectory, planned: Plan, originals: Originals, entry: Planned) -> None:
    """Enter new originals, the plan if it is new, and records of tasks that methods do not support into the journal."""
    for index in sorted(set(originals.known) - set(store.originals())):
        store.append(originals.known[index])
    if store.planned() != entry:
        store.append(entry)
    known = dict(store.journal.state.of_plan())
    for task in planned.tasks:
        if task.skip is not None and task.id not in known:
            store.append(task.record("skipped", task.skip))


def record_notes(setup: Setup, store: RunDirectory) -> None:
    """Enter what the dataset says about the videos of the split into the journal, if it is new."""
    notes = setup.dataset.notes(setup.request.split)
    if notes != store.dataset_notes():
        store.append(DatasetNotes(notes))


def keep(setup: Setup, store: RunDirectory, outcome: Outcome) -> Record:
    """Store an outcome together with the target's prediction for the stored pixels; the record."""
    task, record = outcome.task, outcome.record
    if outcome.pixels is not None:
        fps = task.original.fps
        _keep_original(setup, store, task.original)
        stored = store.put_video(task.id, outcome.pixels, fps)
        arrays = {TRACES: outcome.trace, ARTEFACTS: outcome.artefacts}
        for folder, content in arrays.items():
            store.put_arrays(folder, task.id, content)
        try:
            output = checked_output(setup.target, lossless.dequantise(stored), len(task.original.output))
        except ContractError as error:
            record = replace(record, status="failed", reason=f"no prediction for the counterfactual: {error}")
        else:
            record = replace(
                record,
                video=task.id,
                video_sha256=lossless.content_hash(stored),
                after=output,
                met=bool(task.goal.met(torch.tensor([output]))[0]),
                files=tuple(folder for folder, content in arrays.items() if content),
            )
    store.append(record)
    return record


def _keep_original(setup: Setup, store: RunDirectory, original: Original) -> None:
    if not store.has_video(original.video):
        _put_original(setup, store, original)


def _put_original(setup: Setup, store: RunDirectory, original: Original) -> None:
    sample = sample_of(setup.dataset, setup.request.split, original)
    store.put_video(original.video, lossless.quantise(sample.video), original.fps)
