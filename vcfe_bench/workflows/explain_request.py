"""What to explain about one video: the request, the target's prediction, and the clip and goal that they imply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Constraints, Generator
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.goal_selection import Output

TOP = 5
"""Number of classes in a prediction."""


@dataclass(frozen=True)
class ExplainRequest:
    """What to explain, as the user states it.

    Attributes:
        video: a file that FFmpeg can read.
        target: spec of the target.
        method: spec of the method.
        to: the class to reach, by name or index.
        value: the value to reach, for a regressor; within ``tolerance``, in the target's unit.
        generator: spec of the video generator, for a method that needs one.
        preset: a named set of the method's parameters.
        frames: number of frames of the clip, evenly spaced over the video; None for what target and generator need.
        size: height and width of the clip in pixels; None for what target and generator need.
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
class Prediction:
    """A target's prediction: the most probable classes with their probabilities, or the value of a regressor."""

    classes: Mapping[str, float]
    value: float | None = None

    @classmethod
    def read(cls, output: Output, classes: tuple[str, ...]) -> Prediction:
        """The prediction that a raw output stands for; without ``classes``, it is that of a regressor."""
        if not classes:
            return cls({}, output[0])
        probabilities, indices = torch.tensor(output, dtype=torch.float64).softmax(0).topk(min(TOP, len(classes)))
        pairs = zip(indices.tolist(), probabilities.tolist(), strict=True)
        return cls({classes[index]: probability for index, probability in pairs})

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:.4g}"
        return ", ".join(f"{name} {probability:.3f}" for name, probability in self.classes.items())


def clip_shape(request: ExplainRequest, target: Target, generator: Generator | None) -> tuple[int, int]:
    """Frames and side length of the clip: as requested, else the smallest that target and generator can use.

    Raises:
        UsageError: the target states no clip and none is requested, or the requested clip is not possible.
    """
    frames, size = request.frames, request.size
    limits = generator.constraints if generator else Constraints(1, 1)
    if target.clip is not None:
        least_frames, least_size, _ = target.clip
        frames = least_frames + (1 - least_frames) % limits.frame_step if frames is None else frames
        size = math.ceil(least_size / limits.side_step) * limits.side_step if size is None else size
    if frames is None or size is None:
        raise UsageError(f"target '{target.spec}' does not state the clip it needs: give --frames and --size")
    if frames < 2 or size < 1:
        raise UsageError(f"a clip needs at least two frames and one pixel, not {frames} frames of {size}x{size}")
    violation = limits.violation((frames, size, size))
    if violation:
        raise UsageError(f"clip of {frames} frames of {size}x{size}: {violation}; choose --frames and --size")
    return frames, size


def requested_goal(request: ExplainRequest, dataset: Dataset, prediction: Prediction) -> Goal:
    """The goal of a request for a target with the dataset's classes, or without them for a regressor.

    Raises:
        UsageError: the request has no goal, or not one for this target.
    """
    if dataset.classes:
        if request.value is not None:
            raise UsageError("the target predicts classes, not values: choose a class with --to")
        if request.to is None:
            raise UsageError(f"choose the class to reach with --to; the target predicts {prediction}")
        return ClassGoal(_class(str(request.to), dataset.classes))
    if request.to is not None:
        raise UsageError("the target predicts a value, not a class: choose the value to reach with --value")
    if request.value is None or request.tolerance is None:
        raise UsageError(f"choose the value to reach with --value and --tolerance; the target predicts {prediction}")
    if not request.tolerance > 0:
        raise UsageError(f"--tolerance must be positive, not {request.tolerance:g}")
    return ValueGoal(request.value, request.tolerance)


def _class(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    raise UsageError(f"the target has no class '{name}'; {nearest(name, classes)}")
