"""Which goals a run asks of each video, from the words of ``--goals``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins.dataset import Values

Output = Sequence[float]
"""What the target says of a video: ``[K]`` logits, or its one value."""


@dataclass(frozen=True)
class PredictedVideo:
    """A video by its sample id, and what the target says of it."""

    sample: str
    output: Output


class GoalSelection(ABC):
    """Goals for videos, never one that the target already meets."""

    def fits(self, output: Output) -> bool:
        """Whether there is something to ask of a video of which the target says this."""
        return True

    @abstractmethod
    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        """The goals of each video; ``seed`` is the run's."""


def read(text: str, classes: tuple[str, ...], values: Values | None) -> GoalSelection:
    """The questions that ``one``, ``all``, ``SRC:DST`` (class names) or a number (a value to reach) stand for.

    ``classes`` are the target's; without them it is a regressor, of ``values``.

    Raises:
        UsageError: none of these, or an unknown class, or a value out of range.
    """
    if classes:
        return {"one": OneClass(len(classes)), "all": AllClasses(len(classes))}.get(text) or _pair(text, classes)
    if values is None:
        raise UsageError("the dataset has neither classes nor a range of values, so there is nothing to ask for")
    return {"one": OneValue(values), "all": BothWays(values)}.get(text) or _value(text, values)


def _pair(text: str, classes: tuple[str, ...]) -> GoalSelection:
    names = text.split(":")
    if len(names) != 2:
        raise UsageError(f"--goals is one, all or SRC:DST, not '{text}'")
    for name in names:
        if name not in classes:
            raise UsageError(f"unknown class '{name}' in --goals; {nearest(name, classes)}")
    source, destination = (classes.index(name) for name in names)
    if source == destination:
        raise UsageError(f"--goals {text} asks for no change")
    return Pair(source, destination)


def _value(text: str, values: Values) -> GoalSelection:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"--goals is one, all or a value in {values.unit}, not '{text}'") from None
    if not values.low <= value <= values.high:
        raise UsageError(f"--goals {text} is outside {values.low:g} to {values.high:g} {values.unit}")
    return Value(value, values.tolerance)


def _class(output: Output) -> int:
    return max(range(len(output)), key=output.__getitem__)


@dataclass(frozen=True)
class OneClass(GoalSelection):
    """One class a video: so far the rarest goal, then the rarest from this prediction, then by the sample's seed."""

    count: int

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        drawn: Counter[int] = Counter()
        pairs: Counter[tuple[int, int]] = Counter()
        found: list[list[Goal]] = []
        for video in videos:
            now = _class(video.output)
            allowed = [label for label in range(self.count) if label != now]
            lot = {label: seeds.derive(seed, video.sample, "goal", label) for label in allowed}
            goal = min(allowed, key=lambda label: (drawn[label], pairs[now, label], lot[label]))
            drawn[goal] += 1
            pairs[now, goal] += 1
            found.append([ClassGoal(goal)])
        return found


@dataclass(frozen=True)
class AllClasses(GoalSelection):
    """Every class that the target does not say."""

    count: int

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ClassGoal(k) for k in range(self.count) if k != _class(video.output)] for video in videos]


@dataclass(frozen=True)
class Pair(GoalSelection):
    """Videos that the target sees as ``source``, towards ``destination``."""

    source: int
    destination: int

    def fits(self, output: Output) -> bool:
        return _class(output) == self.source

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ClassGoal(self.destination)] for _ in videos]


@dataclass(frozen=True)
class _Ways:
    """The values at least ``values.change`` below and above what the target says, as ``(low, high)``."""

    values: Values

    def ways(self, output: Output) -> list[tuple[float, float]]:
        below = (self.values.low, output[0] - self.values.change)
        above = (output[0] + self.values.change, self.values.high)
        return [(low, high) for low, high in (below, above) if low <= high]

    def fits(self, output: Output) -> bool:
        return bool(self.ways(output))

    def goal(self, way: tuple[float, float], seed: int, sample: str) -> Goal:
        low, high = way
        share = seeds.derive(seed, sample, "goal") / 2**63
        return ValueGoal(math.floor(10 * (low + share * (high - low)) + 0.5) / 10, self.values.tolerance)


@dataclass(frozen=True)
class OneValue(_Ways, GoalSelection):
    """One value a video, uniform where the change is large enough; as often below as above, as far as there is room."""

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        balance = 0
        found: list[list[Goal]] = []
        for video in videos:
            ways = self.ways(video.output)
            lower = balance > 0 or (balance == 0 and seeds.derive(seed, video.sample, "way") % 2 == 0)
            way = ways[0] if lower else ways[-1]
            balance += 1 if way[0] > video.output[0] else -1
            found.append([self.goal(way, seed, video.sample)])
        return found


@dataclass(frozen=True)
class BothWays(_Ways, GoalSelection):
    """One value below and one above what the target says, where there is room."""

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[self.goal(way, seed, video.sample) for way in self.ways(video.output)] for video in videos]


@dataclass(frozen=True)
class Value(GoalSelection):
    """One and the same value for all videos of which the target does not say it yet."""

    value: float
    tolerance: float

    def fits(self, output: Output) -> bool:
        return abs(output[0] - self.value) > self.tolerance

    def goals(self, videos: Sequence[PredictedVideo], seed: int) -> list[list[Goal]]:
        return [[ValueGoal(self.value, self.tolerance)] for _ in videos]
