"""Runs every task that is planned and not yet done, and stores its outcome."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from vcfe_bench.core.environment import environment
from vcfe_bench.executors import serial
from vcfe_bench.plugins.method import Progress
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.micro_batch import Outcome, perform
from vcfe_bench.runs.originals import Original, Survey, read_originals, sample_of
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


def generate(setup: Setup, store: RunDirectory, observer: Observer) -> None:
    """Run every task of the setup that the store does not hold as done."""
    known = read_originals(store.lines("original"))
    survey = Survey(setup, known)
    planned = plan.make(setup, survey)
    for index in sorted(set(survey.originals) - set(known)):
        store.append("original", **asdict(survey.originals[index]))
    ids = [task.id for task in planned.tasks]
    if not store.lines("plan"):
        store.append("plan", tasks=ids, others=planned.others)
    done = {id for id, line in store.tasks().items() if line["status"] != "failed"}
    record_skips(planned, store)
    batches = planned.batches(done)
    observer.planned(planned, batches, sum(id in done for id in ids))
    if not batches:
        return
    store.append("session", **environment())

    def work(batch: MicroBatch) -> list[Outcome]:
        def report(progress: Progress) -> None:
            observer.progress(batch, progress)

        observer.began(batch)
        return perform(setup, batch, report)

    for outcomes in serial.execute(work, batches, THREADS):
        lines = [keep(setup, store, outcome) for outcome in outcomes]
        observer.finished(lines)


def record_skips(planned: Plan, store: RunDirectory) -> None:
    """Enter tasks that cannot be asked, with their reason."""
    known = store.tasks()
    for task in planned.tasks:
        if task.skip is not None and task.id not in known:
            store.append("task", **_line(Outcome(task, "skipped", task.skip)))


def keep(setup: Setup, store: RunDirectory, outcome: Outcome) -> dict[str, Any]:
    """Store an outcome and what the target says of the stored pixels; the journal's line."""
    task, found = outcome.task, {}
    if outcome.pixels is not None:
        fps = task.original.fps
        _keep_original(setup, store, task.original)
        stored = store.put_video(task.id, outcome.pixels, fps)
        store.put_arrays("traces", task.id, outcome.trace)
        store.put_arrays("artefacts", task.id, outcome.artefacts)
        with torch.no_grad():
            output = setup.target(lossless.dequantise(stored)[None])
        found = {
            "video": task.id,
            "video_sha256": lossless.content_hash(stored),
            "after": output[0].tolist(),
            "met": bool(task.goal.met(output)[0]),
        }
    line = _line(outcome, **found)
    store.append("task", **line)
    return line


def _keep_original(setup: Setup, store: RunDirectory, original: Original) -> None:
    if not store.has_video(original.video):
        sample = sample_of(setup.dataset, setup.request.split, original)
        store.put_video(original.video, lossless.quantise(sample.video), original.fps)


def _line(outcome: Outcome, **found: Any) -> dict[str, Any]:
    task, original = outcome.task, outcome.task.original
    return {
        "id": task.id,
        "method": task.method,
        "sample": original.sample,
        "index": original.index,
        "label": original.label,
        "prediction": original.prediction,
        "goal": str(task.goal),
        "status": outcome.status,
        "reason": outcome.reason,
        "traceback": outcome.traceback,
        "before": original.output,
        "after": None,
        "met": None,
        "original": original.video,
        "video": None,
        "video_sha256": None,
        "seconds": outcome.seconds,
        "padded": outcome.padded,
        "peak_memory_mb": outcome.peak_memory,
        "evaluations": dict(outcome.evaluations),
        **found,
    }
