"""Runs what is planned and not yet done, one micro-batch at a time, and keeps what comes of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vcfe_bench import leaderboard, plan, plugins, request, scoring, video_io
from vcfe_bench.environment import environment
from vcfe_bench.executors import serial
from vcfe_bench.interfaces import Progress
from vcfe_bench.observer import Observer
from vcfe_bench.plan import MicroBatch, Original, Plan
from vcfe_bench.request import THREADS, Request, Setup
from vcfe_bench.store import Store
from vcfe_bench.work import Outcome, perform


def run(
    asked: Request, out: Path | None = None, metrics: tuple[str, ...] | None = None, observer: Observer | None = None
) -> Path:
    """Make the counterfactuals of a request, score them, write all tables; return the run's directory.

    What the directory already holds is not done again; failures are. ``out`` defaults to
    ``runs/<dataset>-<hash of the configuration>``; ``metrics`` are specs, by default all that are registered.

    Raises:
        UsageError: anything the user has to change.
    """
    observer = observer or Observer()
    setup = request.resolve(asked)
    configuration = setup.configuration()
    for spec in metrics or ():
        plugins.METRICS.build(spec)
    out = out or Path("runs") / f"{setup.dataset.spec.partition('[')[0]}-{request.short_hash(configuration)}"
    store = Store.create(out, configuration, environment())
    try:
        with serial.threads(THREADS):
            generate(setup, store, observer)
            scoring.score(store, setup.dataset, metrics, observer)
    finally:
        scoring.write(store)
        leaderboard.write(store)
        store.close()
    return out


def rescore(directory: Path, metrics: tuple[str, ...] | None = None, observer: Observer | None = None) -> None:
    """Score the stored counterfactuals of a run anew and write its tables.

    Raises:
        UsageError: not a run, in use, an unknown metric, or a dataset that is not the one that was run.
    """
    store = Store(directory)
    store.lock()
    try:
        with serial.threads(THREADS):
            dataset = plugins.DATASETS.build(store.configuration["dataset"])
            scoring.score(store, dataset, metrics, observer or Observer(), fresh=True)
        scoring.write(store)
        leaderboard.write(store)
    finally:
        store.close()


def generate(setup: Setup, store: Store, observer: Observer) -> None:
    """Run every task of the setup that the store does not hold as done."""
    known = plan.read_originals(store.lines("original"))
    survey = plan.Survey(setup, known)
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


def record_skips(planned: Plan, store: Store) -> None:
    """Enter tasks that cannot be asked, with their reason."""
    known = store.tasks()
    for task in planned.tasks:
        if task.skip is not None and task.id not in known:
            store.append("task", **_line(Outcome(task, "skipped", task.skip)))


def keep(setup: Setup, store: Store, outcome: Outcome) -> dict[str, Any]:
    """Store an outcome and what the target says of the stored pixels; the journal's line."""
    task, found = outcome.task, {}
    if outcome.pixels is not None:
        fps = task.original.fps
        _keep_original(setup, store, task.original)
        stored = store.put_video(task.id, outcome.pixels, fps)
        store.put_arrays("traces", task.id, outcome.trace)
        store.put_arrays("artefacts", task.id, outcome.artefacts)
        with torch.no_grad():
            output = setup.target(video_io.dequantise(stored)[None])
        found = {
            "video": task.id,
            "video_sha256": video_io.content_hash(stored),
            "after": output[0].tolist(),
            "met": bool(task.goal.met(output)[0]),
        }
    line = _line(outcome, **found)
    store.append("task", **line)
    return line


def _keep_original(setup: Setup, store: Store, original: Original) -> None:
    if not store.has_video(original.video):
        sample = plan.sample_of(setup.dataset, setup.request.split, original)
        store.put_video(original.video, video_io.quantise(sample.video), original.fps)


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
