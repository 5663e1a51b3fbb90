"""What a number over a few videos is worth: intervals, floors of set distances, and differences between methods.

Goals that share a source video are not independent, so whole source videos ("clusters") are drawn or left out, never
single values. Nothing here depends on the order in which values come, in any bit: they are sorted first, also before
numbers are drawn for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; NaN where there is none.

    Attributes:
        n: values it rests on.
        missing: values that were NaN and left out.
        clusters: independent source videos among the ``n``.
    """

    value: float
    low: float
    high: float
    n: int
    missing: int
    clusters: int


def mean_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Estimate:
    """Mean with the percentile bootstrap interval, source videos drawn with replacement.

    ``clusters`` names the source video of each value (None: each its own). NaN values are left out and counted. Without
    two clusters there is no interval. Where all values are equal, the interval has no width.
    """
    kept, groups = _finite(values, clusters)
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
    """As ``mean_interval``, for values that are 0 or 1, or shares between.

    A sample of nothing but ones does not show that the rate is one, and a bootstrap cannot see what the sample does not
    hold. Where all values are equal, the exact binomial (Clopper-Pearson) interval of the clusters takes its place:
    sixteen of sixteen give [0.79, 1]. Shares vary less than zeros and ones of their mean, so theirs is wide enough.

    Raises:
        ValueError: a value is neither in [0, 1] nor NaN.
    """
    kept, _ = _finite(values, clusters)
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
    asked: Sequence[float],
    reached: Sequence[float],
    statistic: Callable[[np.ndarray, np.ndarray], float],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Estimate:
    """A statistic of pairs with its percentile bootstrap interval, source videos drawn with replacement.

    Pairs with a value that is not finite are left out and counted. Without three clusters there is no interval. Draws
    for which the statistic is undefined (NaN) do not count.

    Raises:
        ValueError: the sides differ in length.
    """
    pairs = np.array([asked, reached], dtype=np.float64)
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


def _finite(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values that are not NaN, cluster by cluster, and the number of the cluster of each, counted from 0."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    members = _sorted(array[None, present], _numbered(clusters, len(array), present))
    groups = np.repeat(np.arange(len(members)), [member.shape[1] for member in members])
    return np.concatenate([np.empty((1, 0)), *members], axis=1)[0], groups


def _sorted(columns: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The columns ``[k, n]`` of each cluster in ascending order, and the clusters in that of their columns."""
    members: dict[int, list[list[float]]] = {}
    for column, group in zip(columns.T.tolist(), groups.tolist(), strict=True):
        members.setdefault(group, []).append(column)
    return [np.array(member).T for member in sorted(map(sorted, members.values()))]


def _numbered(clusters: Sequence[Hashable] | None, length: int, present: np.ndarray) -> np.ndarray:
    names: Sequence[Hashable] = range(length) if clusters is None else clusters
    if len(names) != length:
        raise ValueError(f"{length} values, but {len(names)} clusters")
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(name, len(numbers)) for name, keep in zip(names, present, strict=True) if keep], int
    )
