"""The tasks of a run: one per method, video and goal, each with an identity that follows from its content.

The tasks of a method are packed into micro-batches of the method's fixed width. A task's slot follows from the rank of
its video among those chosen. A batch with fewer tasks (the last one, or one that was partly done when a run resumes) is
padded, so that every task is computed in its own slot: results do not depend on neighbours, order or interruptions.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import filterfalse, islice

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.goals import Goal
from vcfe_bench.plugins.method import Method
from vcfe_bench.runs.configuration import REFERENCES, THREADS
from vcfe_bench.runs.goal_selection import PredictedVideo
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.records import Record, Status
from vcfe_bench.runs.setup import Setup, method_identity
from vcfe_bench.runs.video_order import video_order

SCHEME = 2
"""Version of the identity scheme; a change to it changes the id of every task."""


@dataclass(frozen=True)
class TaskKey:
    """Everything that determines the result of a task.

    Attributes:
        method: canonical spec of the method.
        code: identity of the method's code.
        learned: fingerprint of the weights that the method has learned.
        video: content hash of the original's pixels.
        goal: the goal as text.
        target: fingerprint of the target.
        generator: fingerprint of the generator; None where the method uses none.
        seed: seed of the query.
        width: width of the micro-batch, in which the task has the place ``slot``.
        threads: number of torch threads.
        budget: what the method may spend on network calls, which it may adapt to; None for no limit.
    """

    method: str
    code: str
    learned: str
    video: str
    label: int | float
    goal: str
    target: str
    generator: str | None
    seed: int
    width: int
    slot: int
    threads: int
    budget: float | None = None

    @property
    def id(self) -> str:
        """The name of the task: a hash of the key."""
        content = {**asdict(self), "scheme": SCHEME}
        if self.budget is None:
            del content["budget"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Task:
    """One method, one video, one goal.

    Attributes:
        id: hash of the task's key.
        seed: of the query.
        batch: the micro-batch within the method, ``slot`` the place in it.
        skip: why the method does not support the task, or None.
    """

    id: str
    method: str
    original: Original
    goal: Goal
    seed: int
    batch: tuple[int, int]
    slot: int
    skip: str | None

    def record(self, status: Status, reason: str = "", traceback: str = "") -> Record:
        """The record of this task as far as it is known before anything is stored."""
        original = self.original
        return Record(
            id=self.id,
            method=self.method,
            sample=original.sample,
            index=original.index,
            label=original.label,
            prediction=original.prediction,
            goal=str(self.goal),
            status=status,
            reason=reason,
            before=original.output,
            original=original.video,
            traceback=traceback,
        )


@dataclass(frozen=True)
class MicroBatch:
    """Tasks of one method that run together, each in its own slot."""

    method: Method
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Plan:
    """All tasks in the order of the table.

    ``others`` are the indices of the reference (real) videos for the noise floor: as many videos that the run does not
    explain, from the other end of the same order (fewer where the split is too small).
    """

    tasks: tuple[Task, ...]
    others: tuple[int, ...]
    methods: tuple[Method, ...]

    def batches(self, done: Container[str]) -> list[MicroBatch]:
        """Micro-batches of all tasks neither skipped nor in ``done``; reference methods, which are fast, come first."""
        packed: dict[tuple[str, tuple[int, int]], list[Task]] = defaultdict(list)
        for task in self.tasks:
            if task.skip is None and task.id not in done:
                packed[task.method, task.batch].append(task)
        methods = {method.spec: method for method in self.methods}
        batches = [MicroBatch(methods[spec], tuple(tasks)) for (spec, _), tasks in packed.items()]
        return sorted(batches, key=lambda batch: batch.method.spec not in REFERENCES)


def make(setup: Setup, originals: Originals) -> Plan:
    """Choose videos and goals. The target is run on one video at a time, until enough are found.

    Raises:
        UsageError: no video of the split fits the goals.
    """
    order = video_order(setup.dataset, setup.request.split)
    chosen, goals = questions(setup, originals, order)
    tasks = tuple(task for method in setup.methods for task in tasks_of(setup, method, chosen, goals))
    rest = filterfalse({original.index for original in chosen}.__contains__, reversed(order))
    return Plan(tasks, tuple(islice(_suitable(setup, originals, rest), len(chosen))), setup.methods)


def questions(setup: Setup, originals: Originals, order: Sequence[int]) -> tuple[list[Original], list[list[Goal]]]:
    """The first videos of an order that suit the goals, and the goals of each.

    Raises:
        UsageError: no video of the split fits the goals.
    """
    chosen = [originals[index] for index in islice(_suitable(setup, originals, order), setup.request.limit)]
    if not chosen:
        request = setup.request
        raise UsageError(
            f"--goals {request.goals} suits none of the target's predictions for the {request.split} split"
        )
    if len(chosen[0].output) != (len(setup.classes) or 1):
        raise UsageError(
            f"target '{setup.target.spec}' has {len(chosen[0].output)} outputs, "
            f"dataset '{setup.dataset.spec}' {f'{len(setup.classes)} classes' if setup.classes else 'values'}"
        )
    return chosen, setup.selection.goals([PredictedVideo(o.sample, o.output) for o in chosen], setup.request.seed)


def tasks_of(setup: Setup, method: Method, chosen: list[Original], goals: list[list[Goal]]) -> Iterator[Task]:
    """The tasks of one method: every goal of every chosen original, in their order."""
    identity, generator = method_identity(method), setup.generator_for(method)
    for rank, original in enumerate(chosen):
        batch, slot = divmod(rank, method.width)
        seed = seeds.derive(setup.request.seed, original.sample, method.spec)
        for turn, goal in enumerate(goals[rank]):
            key = TaskKey(
                method=method.spec,
                code=identity.source,
                learned=identity.fingerprint,
                video=original.sha256,
                label=original.label,
                goal=str(goal),
                target=setup.target.fingerprint,
                generator=generator.fingerprint if generator else None,
                seed=seed,
                width=identity.width,
                slot=slot,
                threads=THREADS,
                budget=setup.budget_for(method),
            )
            skip = _obstacle(setup, method, goal)
            yield Task(key.id, method.spec, original, goal, seed, (batch, turn), slot, skip)


def _obstacle(setup: Setup, method: Method, goal: Goal) -> str | None:
    try:
        return method.supports(setup.dataset, setup.target, setup.generator_for(method), goal)
    except Exception as error:
        return f"supports() failed: {describe(error)}"


def _suitable(setup: Setup, originals: Originals, indices: Iterable[int]) -> Iterator[int]:
    """Those indices of videos for which there is a goal."""
    return (index for index in indices if setup.selection.applies(originals[index].output))
