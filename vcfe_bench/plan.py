"""What will run: one task per method, video and goal, each with an identity that follows from its content.

The tasks of a method are packed into micro-batches of the method's fixed width. A task's slot follows from the rank of
its video among those chosen, so a batch that lacks neighbours (the last one, or one half done before a resume) is
padded and every task still computes in its own slot: neighbours, order and resume change no bit.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from vcfe_bench import plugins, seeds, video_io
from vcfe_bench.errors import UsageError
from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Dataset, Method, Sample, Split
from vcfe_bench.questions import Asked
from vcfe_bench.request import REFERENCES, THREADS, Setup

SCHEME = 1
"""Version of the identity scheme; a change to it renames every task."""


@dataclass(frozen=True)
class Original:
    """One video of the split and what the target says of it; ``output`` is the raw output ``[K]``."""

    index: int
    sample: str
    label: int | float
    fps: float
    sha256: str
    output: tuple[float, ...]

    @property
    def prediction(self) -> int | float:
        """The likeliest class, or the value of a target with one output."""
        return self.output[0] if len(self.output) == 1 else max(range(len(self.output)), key=self.output.__getitem__)

    @property
    def video(self) -> str:
        """Name of the stored video."""
        return f"original-{self.sha256[:16]}"


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


def read_originals(lines: Iterable[Mapping[str, Any]]) -> dict[int, Original]:
    """Originals by index from what ``asdict`` made of them, by way of JSON."""
    return {line["index"]: Original(**{**line, "output": tuple(line["output"])}) for line in lines}


def sample_of(dataset: Dataset, split: Split, original: Original) -> Sample:
    """The dataset's sample for an original.

    Raises:
        UsageError: it is not the same video any more.
    """
    sample = dataset.sample(split, original.index)
    if video_io.content_hash(video_io.quantise(sample.video)) != original.sha256:
        raise UsageError(f"video {sample.id} of dataset '{dataset.spec}' is not the one that was planned")
    return sample


class Survey:
    """The originals of a split by index, each put before the target once; ``known`` ones are not asked again."""

    def __init__(self, setup: Setup, known: Mapping[int, Original]) -> None:
        self.setup = setup
        self.originals = dict(known)

    def __getitem__(self, index: int) -> Original:
        if index not in self.originals:
            sample = self.setup.dataset.sample(self.setup.request.split, index)
            pixels = video_io.quantise(sample.video)
            with torch.no_grad():
                output = self.setup.target(video_io.dequantise(pixels)[None])[0]
            self.originals[index] = Original(
                index, sample.id, sample.label, sample.fps, video_io.content_hash(pixels), tuple(output.tolist())
            )
        return self.originals[index]


def identity(
    *,
    method: str,
    source: str,
    carried: str,
    video: str,
    label: int | float,
    goal: str,
    target: str,
    generator: str | None,
    seed: int,
    width: int,
    slot: int,
    threads: int,
) -> str:
    """The name of a task: a hash of all that determines what it computes.

    ``method`` is the canonical spec, ``source`` and ``carried`` hash the method's code and what it has learned,
    ``video`` the original's pixels; ``target`` and ``generator`` are fingerprints (None: the method has no generator);
    ``seed`` is the query's.
    """
    parts = dict(locals(), scheme=SCHEME)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def make(setup: Setup, survey: Survey) -> Plan:
    """Choose videos and goals and name the tasks. The chosen videos are put before the target, each by itself.

    Raises:
        UsageError: no video of the split fits the goals.
    """
    candidates = _candidates(setup, survey)
    chosen = [survey[index] for index in islice(candidates, setup.request.limit)]
    if not chosen:
        raise UsageError(
            f"the target sees no video of the {setup.request.split} split so that --goals {setup.request.goals} fits"
        )
    if len(chosen[0].output) != (len(setup.classes) or 1):
        raise UsageError(
            f"target '{setup.target.spec}' has {len(chosen[0].output)} outputs, "
            f"dataset '{setup.dataset.spec}' {f'{len(setup.classes)} classes' if setup.classes else 'values'}"
        )
    goals = setup.questions.goals([Asked(o.sample, o.output) for o in chosen], setup.request.seed)
    tasks = tuple(task for method in setup.methods for task in tasks_of(setup, method, chosen, goals))
    return Plan(tasks, tuple(islice(candidates, len(chosen))), setup.methods)


def tasks_of(setup: Setup, method: Method, chosen: list[Original], goals: list[list[Goal]]) -> Iterator[Task]:
    """The tasks of one method: every goal of every chosen original, in their order."""
    generator = setup.generator_for(method)
    common: dict[str, Any] = {
        "method": method.spec,
        "source": plugins.source_hash(type(method)),
        "carried": method.fingerprint,
        "target": setup.target.fingerprint,
        "generator": generator.fingerprint if generator else None,
        "width": method.width,
        "threads": THREADS,
    }
    for rank, original in enumerate(chosen):
        batch, slot = divmod(rank, method.width)
        seed = seeds.derive(setup.request.seed, original.sample, method.spec)
        for turn, goal in enumerate(goals[rank]):
            id = identity(video=original.sha256, label=original.label, goal=str(goal), seed=seed, slot=slot, **common)
            skip = _obstacle(setup, method, goal)
            yield Task(id, method.spec, original, goal, seed, (batch, turn), slot, skip)


def _obstacle(setup: Setup, method: Method, goal: Goal) -> str | None:
    try:
        return method.supports(setup.dataset, setup.target, setup.generator_for(method), goal)
    except Exception as error:
        return f"supports() failed: {plugins.describe(error)}"


def _candidates(setup: Setup, survey: Survey) -> Iterator[int]:
    """Indices of the split in order, those of which there is something to ask."""
    for index in range(setup.dataset.size(setup.request.split)):
        if setup.questions.fits(survey[index].output):
            yield index
