"""Runs every task that is planned and has no result yet, and stores the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from vcfe_bench.core.environment import environment
from vcfe_bench.executors import serial
from vcfe_bench.plugins.method import Progress
from vcfe_bench.runs import micro_batch, plan
from vcfe_bench.runs.changes import superseded
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.journal import DatasetNotes, Original, Planned, Reused, Session
from vcfe_bench.runs.micro_batch import Outcome
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.reference_cache import ReferenceCache
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


def generate(setup: Setup, store: RunDirectory, observer: Observer) -> None:
    """Run every task of the setup that has no result in the store yet; failed tasks are tried again."""
    originals = Originals(setup, store.originals())
    complete(setup, store, plan.make(setup, originals), originals, observer)


def complete(
    setup: Setup,
    store: RunDirectory,
    planned: Plan,
    originals: Originals,
    observer: Observer,
    perform: Callable[[Setup, MicroBatch, Callable[[Progress], None]], list[Outcome]] = micro_batch.perform,
) -> None:
    """Enter a plan into the journal and run its tasks that have no result yet, each micro-batch by ``perform``.

    Results of reference methods are taken from the cache where it has them.
    """
    record_plan(store, planned, originals)
    record_notes(setup, store)
    for tasks in superseded(planned, store):
        observer.superseded(tasks)
    cache = ReferenceCache(setup)
    done = {id for id, record in store.records().items() if _is_final(record)}
    reused = [keep(setup, store, outcome) for outcome in cache.outcomes(planned.tasks, done)]
    if reused:
        store.append(Reused(tuple(record.id for record in reused)))
        observer.reused(reused)
    batches = planned.batches(done | {record.id for record in reused})
    observer.planned(planned, batches, len(done))
    if not batches:
        return
    store.append(Session(**environment()))
    for batch in batches:
        observer.began(batch)
        with serial.threads(THREADS):
            outcomes = perform(setup, batch, partial(observer.progress, batch))
        for outcome in outcomes:
            cache.keep(outcome)
        observer.finished([keep(setup, store, outcome) for outcome in outcomes])
    cache.shrink()


def _is_final(record: Record) -> bool:
    """Whether a task with this record need not be tried again; its budget is part of the task's identity."""
    return record.status != "failed" or record.reason.startswith(micro_batch.OVER)


def record_plan(store: RunDirectory, planned: Plan, originals: Originals) -> None:
    """Enter new originals, the plan if it is new, and records of tasks that methods do not support into the journal."""
    for index in sorted(set(originals.known) - set(store.originals())):
        store.append(originals.known[index])
    entry = Planned(tuple(task.id for task in planned.tasks), planned.others)
    if store.planned() != entry:
        store.append(entry)
    known = store.records()
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
        store.put_arrays("traces", task.id, outcome.trace)
        store.put_arrays("artefacts", task.id, outcome.artefacts)
        with torch.no_grad():
            output = setup.target(lossless.dequantise(stored)[None])
        record = replace(
            record,
            video=task.id,
            video_sha256=lossless.content_hash(stored),
            after=tuple(output[0].tolist()),
            met=bool(task.goal.met(output)[0]),
        )
    store.append(record)
    return record


def _keep_original(setup: Setup, store: RunDirectory, original: Original) -> None:
    if not store.has_video(original.video):
        sample = sample_of(setup.dataset, setup.request.split, original)
        store.put_video(original.video, lossless.quantise(sample.video), original.fps)
