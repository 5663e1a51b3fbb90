"""Runs a method on one micro-batch and checks what it returns; success is not judged here."""

from __future__ import annotations

import math
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, get_args

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.core.text import printable
from vcfe_bench.executors import serial
from vcfe_bench.plugins.calls import Calls, Network
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.explanations import checked_explanation, checked_explanations
from vcfe_bench.plugins.counted import counted
from vcfe_bench.plugins.method import Context, Method, Progress, Query
from vcfe_bench.runs.configuration import THREADS, Configuration
from vcfe_bench.runs.originals import sample_of
from vcfe_bench.runs.plan import MicroBatch, Task
from vcfe_bench.runs.records import OVER, Record, Status
from vcfe_bench.runs.setup import Setup, resolve
from vcfe_bench.runs.state_guard import guarded, private
from vcfe_bench.runs.watch import watched
from vcfe_bench.video import lossless

MEMORY_INTERVAL = 0.02
"""Seconds between two samples of the memory in use."""
ROUNDING = 1e-9
"""Share of the budget that the rounding of a sum of prices may exceed it by."""


@dataclass(frozen=True)
class Outcome:
    """The result of one task before it is stored: its record so far, and what the method returned.

    ``pixels`` are uint8 ``[T, 3, H, W]``, None unless the record's status is ``ok``.
    """

    task: Task
    record: Record
    pixels: Tensor | None = None
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)


Batch = tuple[str, tuple[Task, ...]]
"""The spec of a method and tasks of one of its micro-batches, which can be sent to another process."""


class BatchWork:
    """What is done with a micro-batch: ``perform`` with ``THREADS`` torch threads.

    Pickled is only the recipe or the request, from which another process builds the plug-ins of the setup again.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.methods = {method.spec: method for method in setup.methods}

    def __call__(self, batch: Batch, report: Callable[[Progress], None]) -> list[Outcome]:
        spec, tasks = batch
        with serial.threads(THREADS):
            return perform(self.setup, MicroBatch(self.methods[spec], tasks), report)

    def __reduce__(self) -> tuple[Any, ...]:
        recipe = self.setup.recipe or partial(resolve, self.setup.request)
        return _built_again, (type(self), recipe, self.setup.configuration().write())


def _built_again(kind: type[BatchWork], recipe: Callable[[], Setup], configuration: dict[str, Any]) -> BatchWork:
    """The work of a setup, in a worker process.

    Raises:
        UsageError: the plug-ins are not those that the recipe stands for in the process that sends it.
    """
    work = kind(recipe())
    wanted, found = Configuration.read(configuration), work.setup.configuration()
    difference = wanted.other_question(found)
    for spec, method in wanted.methods.items():
        if found.methods.get(spec) != method:
            difference = f"the code or the weights of method {spec} have changed"
    if difference:
        raise UsageError(f"plug-ins are not the same in every process that builds them: {difference}; run again")
    return work


DEBUGGER: ContextVar[Callable[[BaseException], None] | None] = ContextVar("debugger", default=None)
"""Called with an exception of a method where it is raised, if methods run in this process."""


def perform(setup: Setup, batch: MicroBatch, report: Callable[[Progress], None]) -> list[Outcome]:
    """Run a method on a micro-batch: one outcome per task. An exception becomes the outcome of all tasks.

    Raises:
        UsageError: the dataset's videos have changed since the run was planned.
    """
    method, tasks = batch.method, batch.tasks
    calls = Calls(method.width, setup.prices, setup.budget_for(method) or math.inf)
    context = counted(Context(setup.dataset, setup.target, setup.generator_for(method), report), calls)
    queries = _queries(setup, batch)
    explanations: list[object] = []
    status: Status = "ok"
    reason = trace = ""
    guards = [setup.target_guard, *([setup.generator_guard] if context.generator else ())]
    with (
        guarded(guards, setup.dataset, queries) as changes,
        PeakMemory() as memory,
        watched(_networks(setup, method), calls) as uncharged,
    ):
        start = time.perf_counter()
        try:
            for network in get_args(Network) if context.generator else ("target",):
                calls.cost(network)  # measured here, so that it takes none of the method's time
            _seed_everything(seeds.derive(setup.request.seed, method.spec))
            start = time.perf_counter()
            explanations = checked_explanations(method.run(queries, context), len(queries))
        except ContractError as error:
            status, reason = "failed", str(error)
        except NotImplementedError as error:
            status, reason = "skipped", printable(str(error)) or "not implemented"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit among them: a method cannot end the run
            status, reason, trace = "failed", _reason(error), traceback.format_exc()
            if debugger := DEBUGGER.get():
                debugger(error)
        seconds = (time.perf_counter() - start) / len(tasks)
    cost = _Cost(seconds, method.width - len(tasks), memory.peak, calls, ", ".join(changes.settings))
    if changes.networks:
        status, reason = (
            "failed",
            f"the {' and '.join(changes.networks)} were changed while it ran: its results are void",
        )
    if status == "ok" and uncharged.seen:
        status, reason = "failed", uncharged.reason
    if status != "ok":
        return [Outcome(task, cost.on(task, task.record(status, reason, trace))) for task in tasks]
    return [_outcome(task, queries[task.slot], explanations[task.slot], cost) for task in tasks]


def _networks(setup: Setup, method: Method) -> list[nn.Module]:
    """All networks that the method's context wraps."""
    generator = setup.generator_for(method)
    return [setup.target, *(generator.networks().values() if generator else ())]


def _queries(setup: Setup, batch: MicroBatch) -> list[Query]:
    """One query per slot; empty slots repeat the first task."""
    real = {
        task.slot: private(Query(sample_of(setup.dataset, setup.request.split, task.original), task.goal, task.seed))
        for task in batch.tasks
    }
    return [real.get(slot, real[batch.tasks[0].slot]) for slot in range(batch.method.width)]


def _outcome(task: Task, query: Query, returned: object, cost: _Cost) -> Outcome:
    try:
        explanation = checked_explanation(returned, query.sample.video)
    except ContractError as error:
        return cost.failed(task, str(error))
    if cost.calls.left(task.slot) < -ROUNDING * cost.calls.budget:
        return cost.failed(task, f"{OVER}: {cost.calls.spent(task.slot):.1f} of {cost.calls.budget:g} calls")
    return Outcome(
        task,
        cost.on(task, task.record("ok")),
        lossless.quantise(explanation.video),
        explanation.trace,
        explanation.artefacts,
    )


@dataclass(frozen=True)
class _Cost:
    """Costs of a micro-batch: seconds per real query, padded slots, peak memory in MB, calls by slot, side effects."""

    seconds: float
    padded: int
    peak_memory: float
    calls: Calls
    side_effects: str

    def on(self, task: Task, record: Record) -> Record:
        account = self.calls.accounts[task.slot]
        return replace(
            record,
            seconds=self.seconds,
            padded=self.padded,
            peak_memory_mb=self.peak_memory,
            calls=account.calls,
            forwards=dict(account.forwards),
            backwards=dict(account.backwards),
            side_effects=self.side_effects,
        )

    def failed(self, task: Task, reason: str) -> Outcome:
        return Outcome(task, self.on(task, task.record("failed", reason)))


def _reason(error: BaseException) -> str:
    text = describe(error)
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "not enough memory" in text
    return f"out of memory: {text}" if out_of_memory else text


def _seed_everything(seed: int) -> None:
    """Seed the global generators: a method should not draw from them, but one that does is then deterministic."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


class PeakMemory:
    """Greatest resident memory of this process while the block runs, as ``peak`` in MB."""

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self.peak = 0.0
        self._sample()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_INTERVAL):
            self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss / 1e6)
