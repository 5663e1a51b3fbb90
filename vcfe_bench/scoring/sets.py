"""Distances between the counterfactuals of a method and their originals, with noise floors between real videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import describe
from vcfe_bench.plugins import apart
from vcfe_bench.plugins.contract.values import checked_value
from vcfe_bench.plugins.metric import Card, SetMetric
from vcfe_bench.runs.journal import SetRow
from vcfe_bench.stats import set_distances
from vcfe_bench.stats.intervals import Estimate


@dataclass(frozen=True)
class SetFeatures:
    """Features of two sets of videos, one array ``[n, D]`` per video.

    ``counterfactuals[i]`` was made from ``originals[i]``, and ``sources[i]`` names that video: counterfactuals of one
    video with several goals have the same source.
    """

    originals: Sequence[np.ndarray]
    counterfactuals: Sequence[np.ndarray]
    sources: Sequence[str]


@dataclass(frozen=True)
class SetScore:
    """The value of a metric over ``n`` counterfactuals with its 95 % interval; ``reason`` is why there is none."""

    n: int
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    reason: str = ""

    @classmethod
    def of(cls, estimate: Estimate, card: Card) -> SetScore:
        """The score that an estimate is; an infinite bound is no bound.

        Raises:
            ContractError: the value is infinite, or outside the range on the card.
        """
        low, high = (math.nan if math.isinf(bound) else bound for bound in (estimate.low, estimate.high))
        return cls(estimate.n, checked_value(estimate.value, card), low, high)


@dataclass(frozen=True)
class Floor:
    """The noise floor of a distance, from ``n`` real videos and as many reference videos; NaN where there is none.

    ``value`` is the mean distance, 0 for an unbiased one, and ``sd`` the standard deviation of a single one.
    """

    value: float = float("nan")
    n: int = 0
    sd: float = float("nan")


def set_row(method: str, metric: str, version: int, score: SetScore, floor: Floor) -> SetRow:
    """The row of ``sets.parquet`` for a score and its floor."""
    return SetRow(
        method,
        metric,
        version,
        score.n,
        score.value,
        score.low,
        score.high,
        floor.value,
        floor.n,
        score.reason,
        floor.sd,
    )


def score_set(features: SetFeatures, metric: SetMetric) -> SetScore:
    """The distance between counterfactuals and originals; if the metric raises an exception, the reason instead."""
    try:
        return SetScore.of(apart.call(metric, _distance, features, metric), metric.card)
    except (Exception, SystemExit) as error:
        return SetScore(len(features.sources), reason=describe(error))


def _distance(features: SetFeatures, metric: SetMetric) -> Estimate:
    return set_distances.distance_interval(
        features.originals,
        features.counterfactuals,
        metric.distance_among(features.sources),
        features.sources,
        lowest=metric.card.range[0],
    )


def score_floor(originals: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], metric: SetMetric) -> Floor:
    """The real-vs-real baseline: distances between random halves of the originals and the reference videos.

    Both are features by the content hash of the video. The first ``len(originals)`` reference videos are used; with
    fewer of them there is no floor, since a distance over n videos may only be compared with a floor at the same n.
    The floor of an unbiased distance is known to be 0; what is estimated is how much a single distance varies.
    """
    count = len(originals)
    if len(reference) < count:
        return Floor()
    real = {**originals, **dict(islice(reference.items(), count))}
    seed, unbiased = seeds.derive(metric.card.name), metric.card.unbiased
    splits = set_distances.NOISE_SPLITS if unbiased else set_distances.SPLITS
    try:
        values = apart.call(
            metric, set_distances.real_against_real, [*real.values()], [*real], metric.distance, seed, splits
        )
    except (Exception, SystemExit):
        return Floor(n=count)
    if not np.isfinite(values).all():
        return Floor(n=count)
    return Floor(0.0 if unbiased else float(values.mean()), count, float(values.std(ddof=1)))
