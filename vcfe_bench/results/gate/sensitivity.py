"""What a comparison can see: the smallest loss at its number of videos, and the number of videos for a given loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.gate.pairs import Pair, records_of
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.stats import exchange, family, power, sample_size

LOSS = 0.05
"""The loss whose number of videos is given; of a set metric, as a share of its value."""


@dataclass(frozen=True)
class Sensitivity:
    """What the comparison can see by a metric, with a probability of 80 %, in the method whose values vary most.

    Attributes:
        videos: the number of videos.
        smallest: the smallest loss; NaN where so few videos and so many methods can show none.
        needed: the number of videos for a loss of ``LOSS``; NaN where that is more than there is to lose.
        relative: whether ``LOSS`` is a share of the value.
    """

    metric: str
    videos: int
    smallest: float
    needed: float
    relative: bool


def sensitivity(against: Result, compared: Sequence[Pair], deciding: Sequence[str]) -> list[Sensitivity]:
    """What a comparison of these pairs can see by each deciding metric.

    Rates are taken to be independent draws of their rate, which is the worst case. Means and distances vary as they did
    in this comparison or, where nothing changed, as independent draws would.
    """
    tested = [each for each in compared if each.test is not None and each.videos and not math.isnan(each.before)]
    judged = [each for each in tested if not each.same] or [each for each in tested if each.method not in REFERENCES]
    floors = [max(0.5**each.videos, 1 / (exchange.DRAWS_OF_SETS + 1)) for each in judged]
    shares = family.weights(floors, [list(deciding).index(each.card.name) for each in judged])
    levels = [float(share) * family.ERROR for share in shares]
    found = []
    for name in dict.fromkeys(each.card.name for each in judged):
        rows = [(each, level) for each, level in zip(judged, levels, strict=True) if each.card.name == name]
        found.append(_sensitivity(against, *max(rows, key=lambda row: _deviation(against, row[0]))))
    return found


def _sensitivity(against: Result, each: Pair, level: float) -> Sensitivity:
    name, videos, relative = each.card.name, each.videos, each.card.level == "set"
    loss = LOSS * abs(each.before) if relative else LOSS
    if level == 0:
        return Sensitivity(name, videos, math.nan, math.nan, relative)
    if each.card.unit == "rate":
        rate = each.before if each.card.direction == "higher" else 1 - each.before
        smallest = power.smallest_loss_of_rate(rate, videos, level)
        needed = sample_size.videos_for_rates(rate, rate - loss, level) if rate >= loss else None
        return Sensitivity(name, videos, smallest, _or_nan(needed), relative)
    deviation = _deviation(against, each)
    smallest = power.smallest_loss_of_mean(deviation, videos, level)
    known = loss > 0 and deviation > 0 and math.isfinite(deviation)
    needed = sample_size.videos_for_means(loss, deviation, level) if known else None
    return Sensitivity(name, videos, smallest, _or_nan(needed), relative)


def _or_nan(videos: int | None) -> float:
    return math.nan if videos is None else float(videos)


def _deviation(against: Result, each: Pair) -> float:
    """Standard deviation of the loss between videos, of independent draws where nothing changed."""
    name = each.card.name
    if each.card.unit == "rate":
        return math.sqrt(2 * max(each.before * (1 - each.before), 0.0))
    if not each.same:
        return each.deviation
    if each.card.level == "set":
        low, high = (against.value(each.method, f"{name}_{bound}") for bound in ("low", "high"))
        return math.sqrt(2 * each.videos) * (high - low) / (2 * 1.96)
    return math.sqrt(2) * float(records_of(against, each.method).groupby("sample")[name].mean().std())
