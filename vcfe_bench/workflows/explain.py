"""``vcfe-bench explain``: a counterfactual for one video of the user.

It is an ordinary run of one video, so that seeds, the storage in 8 bits and the scores are those of every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vcfe_bench.core.errors import NoResult, UsageError
from vcfe_bench.executors import choice, serial
from vcfe_bench.figures import strips
from vcfe_bench.figures.side_by_side import side_by_side, write_mp4
from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.dataset import Dataset, Values
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.metric import SampleMetric
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs import sanity
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.goal_selection import GoalSelection, PredictedVideo
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, Setup
from vcfe_bench.runs.tables import records_table
from vcfe_bench.scoring import cards
from vcfe_bench.scoring.session import score_run
from vcfe_bench.video import lossless
from vcfe_bench.workflows.explain_request import ExplainRequest, Prediction, clip_shape, requested_goal
from vcfe_bench.workflows.one_video import OneVideo, OneVideoParams
from vcfe_bench.workflows.scored_run import scored_run

__all__ = ["ExplainRequest", "Explained", "Prediction", "Prepared", "explain"]

COUNTERFACTUAL, ORIGINAL = "counterfactual.mkv", "original.mkv"
Plugins = tuple[Target, Method, Generator | None]
SIDE_BY_SIDE, STRIP, SCORES = "side_by_side.mp4", "strip.png", "scores.json"


@dataclass(frozen=True)
class Explained:
    """A counterfactual for one video, with its scores.

    Attributes:
        folder: a run directory that also contains ``counterfactual.mkv`` and ``original.mkv`` (lossless),
            ``side_by_side.mp4``, ``strip.png`` and ``scores.json``.
        video: the stored counterfactual, ``[T, 3, H, W]`` in [0, 1].
        goal: the requested class or value.
        met: whether the target's prediction for the stored counterfactual meets the goal.
        before: the prediction for the original.
        after: the prediction for the counterfactual.
        scores: by metric; None where a metric is undefined.
        directions: of the metrics: whether "higher" or "lower" is better, or None.
        seconds: the time that the method took.
    """

    folder: Path
    video: Tensor
    goal: str
    met: bool
    before: Prediction
    after: Prediction
    scores: Mapping[str, float | None]
    directions: Mapping[str, str | None]
    seconds: float


@dataclass(frozen=True)
class _OneGoal(GoalSelection):
    """The same goal for every video, whatever the target predicts."""

    goal: Goal

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[self.goal] for _ in videos]


class Prepared:
    """A request that has been checked: the clip is decoded, and the target has been run on it.

    Attributes:
        prediction: the target's prediction for the original.
        goal: the requested class or value.
    """

    def __init__(self, request: ExplainRequest, force: bool = False, observer: Observer | None = None) -> None:
        """Decode the video, check the target on it and run it.

        With ``force``, a target that fails the checks of ``runs.sanity`` is used with warnings to the observer.

        Raises:
            UsageError: anything the user has to change.
        """
        target, method, generator = plugins = _plugins(request)
        frames, size = clip_shape(request, target, generator if method.needs_generator else None)
        dataset = OneVideo(OneVideoParams(str(request.video), frames, size))
        dataset.spec = specs.format("one_video", {"path": request.video, "frames": frames, "size": size})
        with serial.threads(THREADS):
            sanity.check(target, dataset, "test", force, (observer or Observer()).warned)
            with torch.no_grad():
                output = target(dataset.sample("test", 0).video[None])[0]
        if len(output) > 1:
            dataset.classes = target.classes or tuple(map(str, range(len(output))))
        else:
            dataset.values = Values(-math.inf, math.inf, 0.0, request.tolerance or math.nan, "")
        self.prediction = Prediction.read(output.tolist(), dataset.classes)
        goal = requested_goal(request, dataset, self.prediction)
        if goal.met(output[None])[0]:
            raise UsageError(f"the target's prediction already meets the goal: {self.prediction}")
        self.goal = dataset.classes[goal.index] if isinstance(goal, ClassGoal) else str(goal).partition("=")[2]
        reason = method.supports(dataset, target, generator, goal)
        if reason is not None:
            hint = ": choose one with --generator" if method.needs_generator and generator is None else ""
            raise UsageError(f"method '{method.spec}' cannot explain this video: {reason}{hint}")
        self.setup = _setup(request, dataset, goal, plugins)
        self.clip = dataset

    def run(self, out: Path, observer: Observer | None = None) -> Explained:
        """Compute the counterfactual, score it, and write everything to ``out``.

        Raises:
            UsageError: ``out`` cannot be written or contains something else.
            NoResult: the method fails.
        """
        observer = observer or Observer()
        with scored_run(out, self.setup.configuration()) as store:
            generate(self.setup, store, observer, choice.current())
            score_run(store, self.clip, _available_metrics(self.clip), observer)
        method = self.setup.methods[0]
        record = next(record for record in store.records().values() if record.method == method.spec)
        if record.status != "ok":
            raise NoResult(f"method '{method.spec}' {record.status}: {record.reason}")
        return self._write(store, record)

    def _write(self, store: RunDirectory, record: Record) -> Explained:
        """Write the files that people look at; the record is that of the method and ok."""
        assert record.video is not None
        assert record.after is not None
        sample = self.clip.sample("test", 0)
        original, counterfactual = lossless.quantise(sample.video), store.video(record.video)
        lossless.write(store.path / ORIGINAL, original, sample.fps)
        lossless.write(store.path / COUNTERFACTUAL, counterfactual, sample.fps)
        write_mp4(store.path / SIDE_BY_SIDE, side_by_side(original, counterfactual), sample.fps)
        strips.figure(store, [record.id]).savefig(store.path / STRIP, dpi=150)
        values = records_table(store).set_index("id").loc[record.id].to_dict()
        cards = [card for card in store.cards() if not card.unavailable]
        explained = Explained(
            folder=store.path,
            video=lossless.dequantise(counterfactual),
            goal=self.goal,
            met=bool(record.met),
            before=self.prediction,
            after=Prediction.read(record.after, self.clip.classes),
            scores={card.name: _number(float(values.get(card.name, math.nan))) for card in cards},
            directions={card.name: card.direction for card in cards},
            seconds=record.seconds,
        )
        store.put_json(SCORES, self._summary(explained))
        return explained

    def _summary(self, explained: Explained) -> dict[str, Any]:
        """The content of ``scores.json``."""
        setup, clip = self.setup, self.clip
        return {
            "video": clip.params.path,
            "clip": {"frames": clip.shape[0], "size": clip.shape[1], "fps": clip.sample("test", 0).fps},
            "target": setup.target.spec,
            "method": setup.methods[0].spec,
            "generator": setup.generator and setup.generator.spec,
            "seed": setup.request.seed,
            "goal": explained.goal,
            "met": explained.met,
            "before": explained.before.classes or explained.before.value,
            "after": explained.after.classes or explained.after.value,
            "scores": dict(explained.scores),
            "seconds": explained.seconds,
        }


def explain(
    path: str | Path,
    target: str,
    *,
    method: str,
    out: str | Path,
    to: str | int | None = None,
    value: float | None = None,
    tolerance: float | None = None,
    generator: str | None = None,
    preset: str | None = None,
    frames: int | None = None,
    size: int | None = None,
    seed: int = 0,
    force: bool = False,
) -> Explained:
    """Explain one video: ``explain("clip.mp4", "i3d_kinetics400", to="yoga", method="pgd", out="runs/clip")``.

    Args:
        path: a video file that FFmpeg can read.
        target: spec of the target.
        method: spec of the method.
        out: a new folder, or one that contains the same explanation, which is then not computed again.
        to: the class to reach, by name or index.
        value: the value to reach, for a regressor.
        tolerance: the largest accepted deviation from ``value``.
        generator: spec of the video generator, for a method that needs one.
        preset: a named set of the method's parameters.
        frames: number of frames of the clip, evenly spaced over the video; by default what the target needs.
        size: height and width of the clip in pixels; by default what the target needs.
        seed: base seed of all randomness.
        force: use a target that fails the checks of its statistics, outputs and gradients, with warnings.

    Raises:
        UsageError: anything the user has to change.
    """
    request = ExplainRequest(Path(path), target, method, to, value, tolerance, generator, preset, frames, size, seed)
    return Prepared(request, force).run(Path(out))


def _plugins(request: ExplainRequest) -> Plugins:
    """The target, the method and the generator of a request."""
    target = registry.frozen_target(request.target)
    method = registry.METHODS.build(request.method, request.preset, request.target)
    method.width = 1
    return target, method, registry.GENERATORS.build(request.generator) if request.generator else None


def _setup(request: ExplainRequest, dataset: OneVideo, goal: Goal, plugins: Plugins | None = None) -> Setup:
    """The setup of a run of one video, with the plug-ins of the request."""
    target, method, generator = plugins or _plugins(request)
    return Setup(
        Request(
            (method.spec,),
            dataset.spec,
            limit=1,
            goals=str(goal),
            target=target.spec,
            generator=request.generator,
            seed=request.seed,
        ),
        _with_reconstruction(method, generator),
        dataset,
        target,
        generator,
        _OneGoal(goal),
        partial(_setup, request, dataset, goal),
    )


def _with_reconstruction(method: Method, generator: Generator | None) -> tuple[Method, ...]:
    """The method and, if it uses a generator, the generator's reconstruction of the original as a baseline."""
    if generator is None or not method.needs_generator:
        return (method,)
    baseline = registry.METHODS.build("reconstruction")
    baseline.width = 1
    return (method, baseline)


def _available_metrics(dataset: Dataset) -> tuple[str, ...]:
    """Names of the sample metrics that can be computed for the dataset."""
    names = []
    for name in registry.METRICS.names():
        try:
            metric = registry.METRICS.build(name)
        except UsageError:
            continue
        if isinstance(metric, SampleMetric) and cards.unavailable(metric, dataset) is None:
            names.append(name)
    return tuple(names)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
