"""One micro-batch of work: ask a method, judge nothing, bring back pixels or the reason why there are none."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import describe
from vcfe_bench.plugins.method import Context, Explanation, Progress, Query
from vcfe_bench.runs.originals import sample_of
from vcfe_bench.runs.plan import MicroBatch, Task
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless

MEMORY_INTERVAL = 0.02
"""Seconds between two looks at the memory in use."""


@dataclass(frozen=True)
class Outcome:
    """What came of one task.

    Attributes:
        status: ``ok``, ``failed`` or ``skipped`` (the method found out at work that it cannot do this).
        reason: one line, empty when ok.
        pixels: uint8 ``[T, 3, H, W]``, None unless ok.
        evaluations: network calls by network, per video.
        seconds: the micro-batch's time divided by the number of its real queries.
        padded: how many slots of the micro-batch were filled with repetitions.
        peak_memory: greatest resident memory of the process during the micro-batch, sampled, in MB (10⁶ bytes).
    """

    task: Task
    status: str
    reason: str = ""
    traceback: str = ""
    pixels: Tensor | None = None
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)
    evaluations: Mapping[str, int] = field(default_factory=dict)
    seconds: float = float("nan")
    padded: int = 0
    peak_memory: float = float("nan")


def perform(setup: Setup, batch: MicroBatch, report: Callable[[Progress], None]) -> list[Outcome]:
    """Run a micro-batch, one outcome per task. Whatever the method raises becomes the outcome of all its tasks.

    Raises:
        UsageError: the dataset's videos are not those that were planned.
    """
    method, tasks = batch.method, batch.tasks
    context = Context(setup.dataset, setup.target, setup.generator_for(method), report)
    queries = _queries(setup, batch)
    _seed_everything(seeds.derive(setup.request.seed, method.spec))
    explanations: list[Explanation] = []
    status = reason = trace = ""
    with PeakMemory() as memory:
        start = time.perf_counter()
        try:
            explanations = list(method.run(queries, context))
            if len(explanations) != len(queries):
                status, reason = "failed", f"returned {len(explanations)} explanations for {len(queries)} queries"
        except NotImplementedError as error:
            status, reason = "skipped", str(error) or "not implemented"
        except Exception as error:
            status, reason, trace = "failed", _reason(error), traceback.format_exc()
        seconds = (time.perf_counter() - start) / len(tasks)
    cost: dict[str, Any] = {"seconds": seconds, "padded": method.width - len(tasks), "peak_memory": memory.peak}
    if status:
        return [Outcome(task, status, reason, trace, **cost) for task in tasks]
    return [_outcome(task, queries[task.slot], explanations[task.slot], cost) for task in tasks]


def _queries(setup: Setup, batch: MicroBatch) -> list[Query]:
    """One query per slot; empty slots repeat the first task."""
    real = {
        task.slot: Query(sample_of(setup.dataset, setup.request.split, task.original), task.goal, task.seed)
        for task in batch.tasks
    }
    return [real.get(slot, real[batch.tasks[0].slot]) for slot in range(batch.method.width)]


def _outcome(task: Task, query: Query, explanation: Explanation, cost: Mapping) -> Outcome:
    video, expected = explanation.video, tuple(query.sample.video.shape)
    if tuple(video.shape) != expected:
        return Outcome(task, "failed", f"returned a video of shape {tuple(video.shape)}, expected {expected}", **cost)
    if not torch.isfinite(video).all():
        return Outcome(task, "failed", "returned a video with NaN or infinite values", **cost)
    return Outcome(
        task,
        "ok",
        pixels=lossless.quantise(video),
        trace=explanation.trace,
        artefacts=explanation.artefacts,
        evaluations=explanation.evaluations,
        **cost,
    )


def _reason(error: Exception) -> str:
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "not enough memory" in str(error)
    return f"out of memory: {describe(error)}" if out_of_memory else describe(error)


def _seed_everything(seed: int) -> None:
    """Make even draws from the global generators, which a method should not use, the same in every batch."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


class PeakMemory:
    """Greatest resident memory of this process while the block runs, as ``peak`` in MB."""

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self.peak = 0.0
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_INTERVAL):
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss / 1e6)
