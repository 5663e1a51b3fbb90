"""One video of one's own: what a target says of it, and a counterfactual that makes it say something else.

It is a run of one video, so that seeds, the 8-bit rule and the scores are those of every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.executors import serial
from vcfe_bench.figures import strips
from vcfe_bench.figures.side_by_side import side_by_side, write_mp4
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.dataset import Dataset, Values
from vcfe_bench.plugins.generator import Constraints, Generator
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.metric import SampleMetric
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.goal_selection import GoalSelection, Output, PredictedVideo
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import METRICS, RECORDS, RunDirectory
from vcfe_bench.runs.setup import Request, Setup
from vcfe_bench.scoring import score as scoring
from vcfe_bench.video import lossless
from vcfe_bench.workflows.one_video import OneVideo, OneVideoParams
from vcfe_bench.workflows.scored_run import scored_run

TOP = 5
"""How many classes are shown."""
COUNTERFACTUAL, ORIGINAL = "counterfactual.mkv", "original.mkv"
SIDE_BY_SIDE, STRIP, SCORES = "side_by_side.mp4", "strip.png", "scores.json"


@dataclass(frozen=True)
class Wish:
    """What to explain, as the user says it.

    Attributes:
        video: a file that FFmpeg reads.
        target: spec of the target.
        method: spec of the method.
        to: the class to reach, by name or index.
        value: the value to reach, within ``tolerance``; for a regressor.
        tolerance: in the target's unit.
        generator: spec of the video generator, for a method that needs one.
        preset: a named set of the method's parameters.
        frames: length of the clip, evenly spaced over the video; None for what target and generator want.
        size: side of the square clip in pixels; None for what target and generator want.
        seed: base seed of all randomness.
    """

    video: Path
    target: str
    method: str
    to: str | int | None = None
    value: float | None = None
    tolerance: float | None = None
    generator: str | None = None
    preset: str | None = None
    frames: int | None = None
    size: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Said:
    """What a target says of a video: its likeliest classes with probabilities, or the value of a regressor."""

    classes: Mapping[str, float]
    value: float | None = None

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:.4g}"
        return ", ".join(f"{name} {probability:.3f}" for name, probability in self.classes.items())


@dataclass(frozen=True)
class Explained:
    """A counterfactual and what is known of it.

    Attributes:
        folder: a run's directory with, beside what every run keeps, ``counterfactual.mkv`` and ``original.mkv``
            (without loss), ``side_by_side.mp4``, ``strip.png`` and ``scores.json``.
        video: the stored counterfactual, ``[T, 3, H, W]`` in [0, 1].
        goal: what was asked, in words.
        met: whether the target says so of the stored video.
        before: what it says of the original.
        after: what it says of the counterfactual.
        scores: by metric; None where a metric is undefined.
        directions: of the metrics: "higher" or "lower" is better, or None.
        seconds: what the method took.
    """

    folder: Path
    video: Tensor
    goal: str
    met: bool
    before: Said
    after: Said
    scores: Mapping[str, float | None]
    directions: Mapping[str, str | None]
    seconds: float


@dataclass(frozen=True)
class _One(GoalSelection):
    """One goal, whatever the target says."""

    goal: Goal

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[self.goal] for _ in videos]


class Prepared:
    """A wish, understood: the clip is decoded, the target has seen it, and everything else is checked.

    Attributes:
        said: what the target says of the original.
        goal: what is asked, in words.
    """

    def __init__(self, wish: Wish) -> None:
        """Decode the video and put it before the target.

        Raises:
            UsageError: anything the user has to change.
        """
        target = registry.frozen_target(wish.target)
        method = registry.METHODS.build(wish.method, wish.preset)
        method.width = 1
        generator = registry.GENERATORS.build(wish.generator) if wish.generator else None
        frames, size = _clip(wish, target, generator if method.needs_generator else None)
        dataset = OneVideo(OneVideoParams(str(wish.video), frames, size))
        dataset.spec = specs.format("one_video", {"path": wish.video, "frames": frames, "size": size})
        with serial.threads(THREADS), torch.no_grad():
            output = target(dataset.sample("test", 0).video[None])[0]
        if len(output) > 1:
            dataset.classes = target.classes or tuple(map(str, range(len(output))))
        else:
            dataset.values = Values(-math.inf, math.inf, 0.0, wish.tolerance or math.nan, "")
        self.said = _said(output.tolist(), dataset.classes)
        goal = _goal(wish, dataset, self.said)
        if goal.met(output[None])[0]:
            raise UsageError(f"the target already says what is asked for: {self.said}")
        self.goal = dataset.classes[goal.index] if isinstance(goal, ClassGoal) else str(goal).partition("=")[2]
        reason = method.supports(dataset, target, generator, goal)
        if reason is not None:
            hint = ": name one with --generator" if method.needs_generator and generator is None else ""
            raise UsageError(f"method '{method.spec}' cannot explain this video: {reason}{hint}")
        request = Request(
            (method.spec,), dataset.spec, "test", 1, str(goal), target.spec, wish.generator, seed=wish.seed
        )
        self.setup = Setup(request, _with_floor(method, generator), dataset, target, generator, _One(goal))

    def run(self, out: Path, observer: Observer | None = None) -> Explained:
        """Make the counterfactual, score it, and write everything into ``out``.

        Raises:
            UsageError: ``out`` cannot be written or holds something else, or the method fails.
        """
        setup, observer = self.setup, observer or Observer()
        with scored_run(out, setup.configuration()) as store:
            generate(setup, store, observer)
            scoring.score(store, setup.dataset, _metrics(setup.dataset), observer)
        return self._written(store)

    def _written(self, store: RunDirectory) -> Explained:
        method, dataset = self.setup.methods[0], self.setup.dataset
        record = next(row for row in store.table(RECORDS).to_dict("records") if row["method"] == method.spec)
        if record["status"] != "ok":
            raise UsageError(f"method '{method.spec}' {record['status']}: {record['reason']}")
        sample = dataset.sample("test", 0)
        original, changed = lossless.quantise(sample.video), store.video(record["video"])
        lossless.write(store.path / ORIGINAL, original, sample.fps)
        lossless.write(store.path / COUNTERFACTUAL, changed, sample.fps)
        write_mp4(store.path / SIDE_BY_SIDE, side_by_side(original, changed), sample.fps)
        strips.figure(store, [record["id"]]).savefig(store.path / STRIP, dpi=150)
        cards = [card for card in store.json(METRICS) if not card["unavailable"]]
        found = Explained(
            store.path,
            lossless.dequantise(changed),
            self.goal,
            bool(record["met"]),
            self.said,
            _said(record["after"], dataset.classes),
            {card["name"]: _number(record[card["name"]]) for card in cards},
            {card["name"]: card["direction"] for card in cards},
            float(record["seconds"]),
        )
        store.put_json(SCORES, _summary(found, self.setup))
        return found


def explain(path: str | Path, target: str, *, method: str, out: str | Path, **wish: Any) -> Explained:
    """Explain one video: ``explain("clip.mp4", "i3d_kinetics400", to="yoga", method="pgd", out="runs/clip")``.

    ``wish`` is as in ``Wish``. ``out`` is a folder that is new, or holds the same explanation.

    Raises:
        UsageError: anything the user has to change.
    """
    return Prepared(Wish(Path(path), target, method, **wish)).run(Path(out))


def _clip(wish: Wish, target: Target, generator: Generator | None) -> tuple[int, int]:
    """Frames and side: as asked, or the least that target and generator want."""
    frames, size = wish.frames, wish.size
    limits = generator.constraints if generator else Constraints(1, 1)
    wanted = target.clip
    if wanted is not None:
        frames = wanted[0] + (1 - wanted[0]) % limits.frame_step if frames is None else frames
        size = math.ceil(wanted[1] / limits.side_step) * limits.side_step if size is None else size
    if frames is None or size is None:
        raise UsageError(f"target '{target.spec}' does not say which clips it wants: give --frames and --size")
    if frames < 2 or size < 1:
        raise UsageError(f"a clip has two frames or more and a side, not {frames} frames of {size}x{size}")
    violation = limits.violation((frames, size, size))
    if violation:
        raise UsageError(f"clip of {frames} frames of {size}x{size}: {violation}; choose --frames and --size")
    return frames, size


def _goal(wish: Wish, dataset: Dataset, said: Said) -> Goal:
    if dataset.classes:
        if wish.value is not None:
            raise UsageError("the target knows classes, no values: name one with --to")
        if wish.to is None:
            raise UsageError(f"say with --to which class to reach; now the target says {said}")
        return ClassGoal(_class(str(wish.to), dataset.classes))
    if wish.to is not None:
        raise UsageError("the target gives a value, no class: say which one to reach with --value")
    if wish.value is None or wish.tolerance is None:
        raise UsageError(f"say which value to reach with --value and --tolerance; now the target says {said}")
    if not wish.tolerance > 0:
        raise UsageError(f"--tolerance must be positive, not {wish.tolerance:g}")
    return ValueGoal(wish.value, wish.tolerance)


def _class(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    raise UsageError(f"the target knows no class '{name}'; {nearest(name, classes)}")


def _said(output: Output, classes: tuple[str, ...]) -> Said:
    if not classes:
        return Said({}, output[0])
    probabilities, indices = torch.tensor(output, dtype=torch.float64).softmax(0).topk(min(TOP, len(classes)))
    pairs = zip(indices.tolist(), probabilities.tolist(), strict=True)
    return Said({classes[index]: probability for index, probability in pairs})


def _with_floor(method: Method, generator: Generator | None) -> tuple[Method, ...]:
    """The method and, where a generator makes the video, what that alone does to it."""
    if generator is None or not method.needs_generator:
        return (method,)
    floor = registry.METHODS.build("reconstruction")
    floor.width = 1
    return (method, floor)


def _metrics(dataset: Dataset) -> tuple[str, ...]:
    """Metrics of single videos that can be computed here."""
    found = []
    for name in registry.METRICS.names():
        try:
            metric = registry.METRICS.build(name)
        except UsageError:
            continue
        if isinstance(metric, SampleMetric) and metric.unavailable(dataset) is None:
            found.append(name)
    return tuple(found)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _summary(found: Explained, setup: Setup) -> dict[str, Any]:
    sample = setup.dataset.sample("test", 0)
    return {
        "video": setup.dataset.params.path,
        "clip": {"frames": setup.dataset.shape[0], "size": setup.dataset.shape[1], "fps": sample.fps},
        "target": setup.target.spec,
        "method": setup.methods[0].spec,
        "generator": setup.generator and setup.generator.spec,
        "seed": setup.request.seed,
        "goal": found.goal,
        "met": found.met,
        "before": found.before.classes or found.before.value,
        "after": found.after.classes or found.after.value,
        "scores": dict(found.scores),
        "seconds": found.seconds,
    }
