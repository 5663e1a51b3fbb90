"""The goals that a run requests for each video, as selected with ``--goals``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins.dataset import Values

Output = Sequence[float]
"""The target's output for a video: ``[K]`` logits, or one value."""


@dataclass(frozen=True)
class PredictedVideo:
    """A video, by its sample id, and the target's output for it."""

    sample: str
    output: Output


class GoalSelection(ABC):
    """Chooses goals for videos; never one that the prediction for the original meets already."""

    def applies(self, output: Output) -> bool:
        """Whether there is a goal for a video with this output."""
        return True

    @abstractmethod
    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        """The goals of each video; ``seed`` is the base seed of the run."""


Groups = Mapping[str, Mapping[int, Sequence[int]]]
"""Goals by name of a group and by predicted class, both classes as indices."""


def read(text: str, classes: tuple[str, ...], values: Values | None, groups: Groups | None = None) -> GoalSelection:
    """What ``one``, ``all``, ``uniform``, a name in ``groups``, ``SRC:DST`` (class names) or a number stands for.

    ``classes`` are those of the target; a target without classes is a regressor, with values in the range ``values``.

    Raises:
        UsageError: the text is none of these, a class is unknown, or a value is out of range.
    """
    if classes:
        known: dict[str, GoalSelection] = {"one": OneClass(len(classes)), "all": AllClasses(len(classes))}
        known |= {name: OneClass(len(classes), goals) for name, goals in (groups or {}).items()}
        return known.get(text) or _pair(text, classes, list(known))
    if values is None:
        raise UsageError("the dataset has neither classes nor a range of values, so no goal can be requested")
    ranges = {"one": OneValue(values), "all": BothWays(values), "uniform": UniformValue(values)}
    return ranges.get(text) or _value(text, values)


def _pair(text: str, classes: tuple[str, ...], others: Sequence[str]) -> GoalSelection:
    names = text.split(":")
    if len(names) != 2:
        raise UsageError(f"--goals must be {', '.join(others)} or SRC:DST, not '{text}'")
    for name in names:
        if name not in classes:
            raise UsageError(f"unknown class '{name}' in --goals; {nearest(name, classes)}")
    source, destination = (classes.index(name) for name in names)
    if source == destination:
        raise UsageError(f"--goals {text} requests no change")
    return Pair(source, destination)


def _value(text: str, values: Values) -> GoalSelection:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--goals must be one, all, uniform or a value in {values.unit}, not '{text}'") from None
    if not values.low <= value <= values.high:
        raise UsageError(f"--goals {text} is outside {values.low:g} to {values.high:g} {values.unit}")
    return Value(value, values.tolerance)


def _class(output: Output) -> int:
    return max(range(len(output)), key=output.__getitem__)


@dataclass(frozen=True)
class OneClass(GoalSelection):
    """One class per video: the goal chosen least often so far, then least often for this prediction, then by lot.

    ``allowed`` are the goals to choose from by prediction; None for every other class.
    """

    count: int
    allowed: Mapping[int, Sequence[int]] | None = None

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        chosen: Counter[int] = Counter()
        pairs: Counter[tuple[int, int]] = Counter()
        goals: list[list[Goal]] = []
        for video in videos:
            prediction = _class(video.output)
            labels = range(self.count) if self.allowed is None else self.allowed[prediction]
            allowed = [label for label in labels if label != prediction]
            lots = {label: seeds.derive(seed, video.sample, "goal", label) for label in allowed}
            goal = min(allowed, key=lambda label: (chosen[label], pairs[prediction, label], lots[label]))
            chosen[goal] += 1
            pairs[prediction, goal] += 1
            goals.append([ClassGoal(goal)])
        return goals


@dataclass(frozen=True)
class AllClasses(GoalSelection):
    """Every class but the predicted one."""

    count: int

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ClassGoal(k) for k in range(self.count) if k != _class(video.output)] for video in videos]


@dataclass(frozen=True)
class Pair(GoalSelection):
    """Class ``destination`` for the videos that the target predicts as ``source``."""

    source: int
    destination: int

    def applies(self, output: Output) -> bool:
        return _class(output) == self.source

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ClassGoal(self.destination)] for _ in videos]


@dataclass(frozen=True)
class _Ranges:
    """Values that differ from the target's output by ``values.change`` or more."""

    values: Values

    def ranges(self, output: Output) -> list[tuple[float, float]]:
        """The ranges ``(low, high)`` of such values below and above the output, without empty ones."""
        below = (self.values.low, output[0] - self.values.change)
        above = (output[0] + self.values.change, self.values.high)
        return [(low, high) for low, high in (below, above) if low <= high]

    def applies(self, output: Output) -> bool:
        return bool(self.ranges(output))

    def goal(self, limits: tuple[float, float], seed: int, sample: str) -> Goal:
        """A value within ``limits``, uniform by lot, rounded to one decimal."""
        low, high = limits
        share = seeds.derive(seed, sample, "goal") / 2**63
        return ValueGoal(math.floor(10 * (low + share * (high - low)) + 0.5) / 10, self.values.tolerance)


@dataclass(frozen=True)
class OneValue(_Ranges, GoalSelection):
    """One value per video, uniform where the change is large enough; as often below as above, as the range allows."""

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        balance = 0
        goals: list[list[Goal]] = []
        for video in videos:
            ranges = self.ranges(video.output)
            lower = balance > 0 or (balance == 0 and seeds.derive(seed, video.sample, "way") % 2 == 0)
            limits = ranges[0] if lower else ranges[-1]
            balance += 1 if limits[0] > video.output[0] else -1
            goals.append([self.goal(limits, seed, video.sample)])
        return goals


@dataclass(frozen=True)
class BothWays(_Ranges, GoalSelection):
    """One value below and one above the target's output, where the range allows."""

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[self.goal(limits, seed, video.sample) for limits in self.ranges(video.output)] for video in videos]


@dataclass(frozen=True)
class UniformValue(GoalSelection):
    """One value per video, uniform in the whole range whatever the target predicts; drawn again if it is met already.

    The protocol of EchoDiffusion (Reynaud et al., MICCAI 2023) for ejection fractions.
    """

    values: Values

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[self._goal(video, seed)] for video in videos]

    def _goal(self, video: PredictedVideo, seed: int) -> Goal:
        low, high = self.values.low, self.values.high
        for turn in count():
            share = seeds.derive(seed, video.sample, "goal", turn) / 2**63
            value = math.floor(10 * (low + share * (high - low)) + 0.5) / 10
            if abs(video.output[0] - value) > self.values.tolerance:
                break
        return ValueGoal(value, self.values.tolerance)


@dataclass(frozen=True)
class Value(GoalSelection):
    """The same value for all videos for which the target does not predict it already."""

    value: float
    tolerance: float

    def applies(self, output: Output) -> bool:
        return abs(output[0] - self.value) > self.tolerance

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ValueGoal(self.value, self.tolerance)] for _ in videos]
