"""Intervals for means, rates and statistics of pairs over a small number of videos.

Counterfactuals of one source video with several goals are not independent, so resampling draws whole source videos
("clusters"), never single values. No result depends on the order of the values, not even in the last bit: values are
sorted before anything is summed or drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

LEVEL = 0.95
"""Confidence level of all intervals."""
RESAMPLES = 9999
"""Number of bootstrap draws, and the largest number of permutations of a test."""
FEWEST = 5
"""Smallest number of source videos of which a mean has an interval."""
TAIL = 0.02
"""Share of the studentised draws beyond each end of the interval of a mean.

Not 2.5 %: for eight videos with skewed (log-normal) values that would cover the mean in 90 % of the cases."""
LARGE = 2000
"""Number of source videos from which on the quantiles of the bootstrap are computed instead of drawn."""
ROUNDING = 1e-9
"""Standard errors below this share of that of all values are those of equal values."""


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


def mean_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable] | np.ndarray | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Mean with its studentised bootstrap interval (bootstrap-t; Efron and Tibshirani, 1993, section 12.5).

    Source videos are drawn with replacement, and for each draw the deviation of its mean is divided by its own standard
    error. Unlike a percentile interval, the result is wide enough for few videos and for skewed values. From ``LARGE``
    source videos on, the quantiles of the draws are computed by their expansion.

    Args:
        values: NaN values are excluded and counted as missing.
        clusters: the source video of each value; None means that each value has its own.
        bounds: smallest and largest possible value, at which the interval is cut off.

    With fewer than ``FEWEST`` source videos there is no interval. If all values are equal, it has zero width. Where too
    many draws contain equal values only, the interval ends at the smallest or largest mean of a source video.
    """
    kept, groups = present_values(values, clusters)
    missing = len(values) - len(kept)
    if not len(kept):
        return Estimate(np.nan, np.nan, np.nan, 0, missing, 0)
    mean, count = math.fsum(kept) / len(kept), int(groups.max()) + 1
    low = high = np.nan
    if count >= FEWEST:
        low, high = (
            (mean, mean) if np.ptp(kept) == 0 else _studentised(mean, np.bincount(groups, kept), np.bincount(groups))
        )
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(mean, low, high, len(kept), missing, count)


def _studentised(mean: float, sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The bootstrap-t interval of ``mean``, the ratio of the totals of ``sums`` and ``sizes`` of source videos."""
    count, total = len(sums), float(sizes.sum())
    residuals = sums - mean * sizes
    error = math.sqrt(math.fsum(residuals**2) * count / (count - 1)) / total
    if count >= LARGE:
        low, high = _expanded(residuals)
        return mean - high * error, mean - low * error
    if np.ptp(sizes) == 0:
        moved, squares = np.einsum("kn,nr->kr", np.stack([residuals, residuals**2]), _draws(count, RESAMPLES))
        drawn = total
        deviations = moved / total
        squares = squares - moved**2 / count
    else:
        terms = np.stack([residuals, sizes, residuals**2, residuals * sizes, sizes**2])
        moved, drawn, squares, mixed, drawn_squares = np.einsum("kn,nr->kr", terms, _draws(count, RESAMPLES))
        deviations = moved / drawn
        squares = squares - 2 * deviations * mixed + deviations**2 * drawn_squares
    errors = np.sqrt(np.maximum(squares, 0) * count / (count - 1)) / drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(errors > ROUNDING * error, deviations / errors, np.copysign(np.inf, deviations))
    low, high = np.quantile(scores, [TAIL, 1 - TAIL], method="inverted_cdf")
    means = sums / sizes
    return (
        mean - float(high) * error if np.isfinite(high) else float(means.min()),
        mean - float(low) * error if np.isfinite(low) else float(means.max()),
    )


def _expanded(residuals: np.ndarray) -> tuple[float, float]:
    """The quantiles of the studentised draws, up to terms of the order 1 / videos (Hall, Ann. Statist. 16, 1988).

    With the skewness g of the residuals, the quantile at z of the normal distribution is z - g (2 z² + 1) / (6 √n).
    """
    squares = residuals * residuals
    skewness = float(np.mean(squares * residuals)) / float(np.mean(squares)) ** 1.5
    z = -float(special.ndtri(TAIL))
    shift = skewness * (2 * z**2 + 1) / (6 * math.sqrt(len(residuals)))
    return -z - shift, z - shift


@lru_cache(maxsize=8)
def _draws(count: int, resamples: int) -> np.ndarray:
    """How often each of ``count`` source videos is in each of the draws, ``[count, resamples]``."""
    draws = np.random.default_rng(count).multinomial(count, np.full(count, 1 / count), resamples)
    return np.ascontiguousarray(draws.T, dtype=np.float32)


def rate_interval(
    values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable] | np.ndarray | None = None
) -> Estimate:
    """Mean of values in [0, 1] with its exact binomial interval (Clopper and Pearson, Biometrika 26, 1934).

    The trials are the source videos, and the number of successes, which need not be whole, is the mean times their
    number: fractions, and several goals of a video, vary at most as much as zeros and ones of the same mean, so the
    interval is conservative for them. Source videos with unequal numbers of values count as fewer trials,
    (Σ size)² / Σ size² (Kish). The interval moves up with the mean, and never has zero width: sixteen ones out of
    sixteen give [0.79, 1].

    Raises:
        ValueError: a value is neither in [0, 1] nor NaN.
    """
    kept, groups = present_values(values, clusters)
    if ((kept < 0) | (kept > 1)).any():
        raise ValueError("a rate is a mean of values between 0 and 1")
    missing = len(values) - len(kept)
    if not len(kept):
        return Estimate(np.nan, np.nan, np.nan, 0, missing, 0)
    mean, sizes = math.fsum(kept) / len(kept), np.bincount(groups)
    trials = len(kept) ** 2 / float((sizes**2).sum())
    low, high = clopper_pearson(mean * trials, trials)
    return Estimate(mean, low, high, len(kept), missing, len(sizes))


def clopper_pearson(successes: float, trials: float) -> tuple[float, float]:
    """The exact binomial interval; both numbers need not be whole.

    >>> tuple(round(bound, 3) for bound in clopper_pearson(16, 16))
    (0.794, 1.0)
    """
    tail = (1 - LEVEL) / 2
    failures = max(trials - successes, 0.0)
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes > 0 else 0.0
    high = float(special.betainccinv(successes + 1, failures, tail)) if failures > 0 else 1.0
    return low, high


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


def present_values(
    values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The values that are not NaN, cluster by cluster, and the index of each value's cluster, both ``[n]``."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    return _by_cluster(array[present], _numbered(clusters, len(array), present))


def _by_cluster(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``values`` ``[n]`` in ascending order within each cluster, and the index of the cluster of each; clusters are
    ordered by their values, the first first."""
    if not len(values):
        return values, groups
    sizes = np.bincount(groups)
    if sizes.max() == 1:
        return np.sort(values), np.arange(len(values))
    order = np.lexsort((values, groups))
    rows, places = groups[order], np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table = np.full((len(sizes), sizes.max()), -np.inf)
    table[rows, places] = values[order]
    ranked = np.lexsort(table.T[::-1])
    sizes = sizes[ranked]
    filled = np.arange(table.shape[1]) < sizes[:, None]
    return table[ranked][filled], np.repeat(np.arange(len(sizes)), sizes)


def _sorted(columns: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The columns ``[k, n_c]`` of each cluster c in ascending order; clusters are ordered by their columns."""
    members: dict[int, list[list[float]]] = {}
    for column, group in zip(columns.T.tolist(), groups.tolist(), strict=True):
        members.setdefault(group, []).append(column)
    return [np.array(member).T for member in sorted(map(sorted, members.values()))]


def _numbered(clusters: Sequence[Hashable] | np.ndarray | None, length: int, present: np.ndarray) -> np.ndarray:
    """The index of the cluster of each ``present`` value; without ``clusters``, each value has its own."""
    if clusters is None:
        return np.arange(int(present.sum()))
    if len(clusters) != length:
        raise ValueError(f"{length} values, but {len(clusters)} clusters")
    if isinstance(clusters, np.ndarray):
        return np.unique(clusters[present], return_inverse=True)[1]
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(name, len(numbers)) for name, keep in zip(clusters, present, strict=True) if keep], int
    )
