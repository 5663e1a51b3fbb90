"""What will run: one task per method, video and goal, each with an identity that follows from its content.

The tasks of a method are packed into micro-batches of the method's fixed width. A task's slot follows from the rank of
its video among those chosen, so a batch that lacks neighbours (the last one, or one half done before a resume) is
padded and every task still computes in its own slot: neighbours, order and resume change no bit.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

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

    @property
    def id(self) -> str:
        """The name of the task: a hash of the key."""
        content = json.dumps({**asdict(self), "scheme": SCHEME}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Task:
    """One question to one method.

    ``batch`` names its micro-batch within the method and ``slot`` its place there; ``skip`` is why it cannot be asked,
    or None.
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

    ``others`` are indices of as many videos that the run does not touch, chosen by the same rule: the other real videos
    of the real-against-real floor (fewer where the split ends).
    """

    tasks: tuple[Task, ...]
    others: tuple[int, ...]
    methods: tuple[Method, ...]

    def batches(self, done: Container[str]) -> list[MicroBatch]:
        """Micro-batches of all tasks neither skipped nor in ``done``; the references, which are quick, come first."""
        packed: dict[tuple[str, tuple[int, int]], list[Task]] = defaultdict(list)
        for task in self.tasks:
            if task.skip is None and task.id not in done:
                packed[task.method, task.batch].append(task)
        methods = {method.spec: method for method in self.methods}
        batches = [MicroBatch(methods[spec], tuple(tasks)) for (spec, _), tasks in packed.items()]
        return sorted(batches, key=lambda batch: batch.method.spec not in REFERENCES)


def make(setup: Setup, originals: Originals) -> Plan:
    """Choose videos and goals and name the tasks. The chosen videos are put before the target, each by itself.

    Raises:
        UsageError: no video of the split fits the goals.
    """
    candidates = _candidates(setup, originals)
    chosen = [originals[index] for index in islice(candidates, setup.request.limit)]
    if not chosen:
        raise UsageError(
            f"the target sees no video of the {setup.request.split} split so that --goals {setup.request.goals} fits"
        )
    if len(chosen[0].output) != (len(setup.classes) or 1):
        raise UsageError(
            f"target '{setup.target.spec}' has {len(chosen[0].output)} outputs, "
            f"dataset '{setup.dataset.spec}' {f'{len(setup.classes)} classes' if setup.classes else 'values'}"
        )
    goals = setup.selection.goals([PredictedVideo(o.sample, o.output) for o in chosen], setup.request.seed)
    tasks = tuple(task for method in setup.methods for task in tasks_of(setup, method, chosen, goals))
    return Plan(tasks, tuple(islice(candidates, len(chosen))), setup.methods)


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
            )
            skip = _obstacle(setup, method, goal)
            yield Task(key.id, method.spec, original, goal, seed, (batch, turn), slot, skip)


def _obstacle(setup: Setup, method: Method, goal: Goal) -> str | None:
    try:
        return method.supports(setup.dataset, setup.target, setup.generator_for(method), goal)
    except Exception as error:
        return f"supports() failed: {describe(error)}"


def _candidates(setup: Setup, originals: Originals) -> Iterator[int]:
    """Indices of the split in order, those of which there is something to ask."""
    for index in range(setup.dataset.size(setup.request.split)):
        if setup.selection.fits(originals[index].output):
            yield index
