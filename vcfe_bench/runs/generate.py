"""Runs every task that is planned and has no result yet, and stores the result."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from vcfe_bench.core.environment import environment
from vcfe_bench.executors import serial
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.journal import Original, Planned, Session
from vcfe_bench.runs.micro_batch import Outcome, perform
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.plan import Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


def generate(setup: Setup, store: RunDirectory, observer: Observer) -> None:
    """Run every task of the setup that has no result in the store yet; failed tasks are tried again."""
    known = store.originals()
    originals = Originals(setup, known)
    planned = plan.make(setup, originals)
    for index in sorted(set(originals.known) - set(known)):
        store.append(originals.known[index])
    record_plan(planned, store)
    done = {id for id, record in store.records().items() if record.status != "failed"}
    batches = planned.batches(done)
    observer.planned(planned, batches, sum(task.id in done for task in planned.tasks))
    if not batches:
        return
    store.append(Session(**environment()))
    for batch in batches:
        observer.began(batch)
        with serial.threads(THREADS):
            outcomes = perform(setup, batch, partial(observer.progress, batch))
        observer.finished([keep(setup, store, outcome) for outcome in outcomes])


def record_plan(planned: Plan, store: RunDirectory) -> None:
    """Enter the plan into the journal, and a record for each task that its method does not support."""
    ids = tuple(task.id for task in planned.tasks)
    if store.planned() is None:
        store.append(Planned(ids, planned.others))
    known = store.records()
    for task in planned.tasks:
        if task.skip is not None and task.id not in known:
            store.append(task.record("skipped", task.skip))


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
