"""Intervals for means, rates and statistics of pairs over a small number of videos.

Counterfactuals of one source video with several goals are not independent, so resampling draws whole source videos
("clusters"), never single values. No result depends on the order of the values, not even in the last bit: values are
sorted before anything is summed or drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Confidence level of all intervals."""
RESAMPLES = 9999
"""Number of bootstrap draws, and the largest number of permutations of a test."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, each NaN if it is undefined.

    Attributes:
        n: number of values it is computed from.
        missing: number of values that were excluded because they are not finite.
        clusters: number of source videos among the ``n`` values.
    """

    value: float
    low: float
    high: float
    n: int
    missing: int
    clusters: int


def mean_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Estimate:
    """Mean with its percentile bootstrap interval; source videos are drawn with replacement.

    ``clusters`` names the source video of each value; None means that each value has its own. NaN values are excluded
    and counted as missing. With fewer than two clusters there is no interval. If all values are equal, the interval has
    zero width.
    """
    kept, groups = present_values(values, clusters)
    missing = len(values) - len(kept)
    if not len(kept):
        return Estimate(np.nan, np.nan, np.nan, 0, missing, 0)
    mean, count = math.fsum(kept) / len(kept), int(groups.max()) + 1
    low = high = np.nan
    if np.ptp(kept) == 0 and count > 1:
        low = high = mean
    elif count > 1:
        interval = stats.bootstrap(
            (np.bincount(groups, kept), np.bincount(groups)),
            lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=1000,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return Estimate(mean, low, high, len(kept), missing, count)


def rate_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Estimate:
    """``mean_interval`` for values that are 0 or 1, or fractions between.

    If all values are equal, a bootstrap interval has zero width, although sixteen ones out of sixteen do not show that
    the rate is one. In this case the interval is the exact binomial (Clopper-Pearson) interval with the clusters as
    trials: [0.79, 1] for sixteen of sixteen. Fractions vary less than zeros and ones of the same mean, so the interval
    is conservative for them.

    Raises:
        ValueError: a value is neither in [0, 1] nor NaN.
    """
    kept, _ = present_values(values, clusters)
    if ((kept < 0) | (kept > 1)).any():
        raise ValueError("a rate is a mean of values between 0 and 1")
    estimate = mean_interval(values, clusters, seed)
    if not len(kept) or np.ptp(kept) > 0:
        return estimate
    successes = float(kept[0]) * estimate.clusters
    fewer, more = (
        stats.binomtest(count, estimate.clusters).proportion_ci(LEVEL, method="exact")
        for count in (math.floor(successes), math.ceil(successes))
    )
    return replace(estimate, low=float(fewer.low), high=float(more.high))


def pairs_interval(
    requested: Sequence[float],
    reached: Sequence[float],
    statistic: Callable[[np.ndarray, np.ndarray], float],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Estimate:
    """A statistic of pairs with its percentile bootstrap interval; source videos are drawn with replacement.

    ``statistic`` gets two arrays, ``requested [n]`` and ``reached [n]``. Pairs with a value that is not finite are
    excluded and counted as missing. With fewer than three clusters there is no interval. Draws for which the statistic
    is undefined (NaN) are ignored.

    Raises:
        ValueError: ``requested``, ``reached`` and ``clusters`` differ in length.
    """
    pairs = np.array([requested, reached], dtype=np.float64)
    present = np.isfinite(pairs[0]) & np.isfinite(pairs[1])
    members = _sorted(pairs[:, present], _numbered(clusters, len(present), present))
    total, missing, count = int(present.sum()), int((~present).sum()), len(members)
    if not total:
        return Estimate(np.nan, np.nan, np.nan, 0, missing, 0)
    value = float(statistic(*np.concatenate(members, axis=1)))
    low = high = np.nan
    if count > 2 and np.isfinite(value):
        draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
        values = [statistic(*np.concatenate([members[group] for group in draw], axis=1)) for draw in draws]
        low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), total, missing, count)


def present_values(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """The values that are not NaN, cluster by cluster, and the index of each value's cluster, both ``[n]``."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    members = _sorted(array[None, present], _numbered(clusters, len(array), present))
    groups = np.repeat(np.arange(len(members)), [member.shape[1] for member in members])
    return np.concatenate([np.empty((1, 0)), *members], axis=1)[0], groups


def _sorted(columns: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The columns ``[k, n_c]`` of each cluster c in ascending order; clusters are ordered by their columns."""
    members: dict[int, list[list[float]]] = {}
    for column, group in zip(columns.T.tolist(), groups.tolist(), strict=True):
        members.setdefault(group, []).append(column)
    return [np.array(member).T for member in sorted(map(sorted, members.values()))]


def _numbered(clusters: Sequence[Hashable] | None, length: int, present: np.ndarray) -> np.ndarray:
    """The index of the cluster of each ``present`` value; without ``clusters``, each value has its own."""
    names: Sequence[Hashable] = range(length) if clusters is None else clusters
    if len(names) != length:
        raise ValueError(f"{length} values, but {len(names)} clusters")
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(name, len(numbers)) for name, keep in zip(names, present, strict=True) if keep], int
    )
