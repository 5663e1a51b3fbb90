"""What a number over a few videos is worth: intervals, floors of set distances, and differences between methods.

Goals that share a source video are not independent, so whole source videos ("clusters") are drawn or left out, never
single values. Nothing here depends on the order in which values come, in any bit: they are sorted first, also before
numbers are drawn for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from vcfe_bench import seeds
from vcfe_bench.executors import parallel

LEVEL = 0.95
RESAMPLES = 9999
BLOCKS = 20
"""Most parts that the jackknife leaves out, one after the other: source videos, or equal groups of them."""

Features = Sequence[np.ndarray]
"""Features of a set: one array ``[n, D]`` per video."""
Distance = Callable[[Features, Features, Sequence[str]], float]
"""Of originals and counterfactuals, with the name of each pair's source video."""


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


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean paired difference; ``p`` is the two-sided probability of one as large where the sides are exchangeable."""

    p: float


def paired_difference(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Difference:
    """Mean of ``first[i] - second[i]`` with the interval of ``mean_interval`` and a sign-flip permutation test.

    The test flips the sign of all differences of a source video at once, in all 2^clusters ways where these are no more
    than ``RESAMPLES``, else in as many drawn at random. Pairs with a NaN are left out and counted. ``p`` is NaN without
    pairs.

    Raises:
        ValueError: the sides differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    found = mean_interval(differences.tolist(), clusters, seed)
    kept, groups = _finite(differences.tolist(), clusters)
    p = 1.0 if len(kept) else np.nan
    if kept.any() and found.clusters > 1:
        test = stats.permutation_test(
            (np.bincount(groups, kept),),
            lambda sums, axis: sums.sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=1000,
            rng=np.random.default_rng(seed),
        )
        p = float(test.pvalue)
    return Difference(found.value, found.low, found.high, found.n, found.missing, found.clusters, p)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values ``[n]`` adjusted for n tests by Holm's step-down method (Scand. J. Statist. 6, 1979), in their order.

    NaN stands for a test that was not made: it stays NaN and does not count among the n.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(adjusted))
    order = made[np.argsort(adjusted[made])]
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def groups_alike(count: int, distinct: Collection[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Largest groups of ``range(count)`` without a ``distinct`` pair: the letters of a compact letter display.

    Two members share a group exactly where they are not distinct (insert and absorb; Piepho, J. Comput. Graph. Stat.
    13, 2004). Groups may overlap, for "cannot be told apart" is not transitive. In order of their members.
    """
    groups = [frozenset(range(count))] if count else []
    for pair in distinct:
        split = {group - {member} for group in groups if group.issuperset(pair) for member in pair}
        kept = {group for group in groups if not group.issuperset(pair)} | split
        groups = [group for group in kept if not any(group < other for other in kept)]
    return sorted(tuple(sorted(group)) for group in groups)


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


def distance_interval(
    originals: Features,
    counterfactuals: Features,
    distance: Distance,
    sources: Sequence[str],
    lowest: float = -math.inf,
) -> Estimate:
    """A set distance with its jackknife interval: the spread of its values with one source video left out.

    ``counterfactuals[i]`` explains ``originals[i]``, a video that ``sources[i]`` names; both are left out together. Of
    more than ``BLOCKS`` source videos groups are left out, as equal in size as their number allows: what is left of the
    videos after groups of two and of one has another bias, which would widen the interval. It is for the distance *at
    this number of videos*, with the bias that comes with it, and does not go below ``lowest``, the smallest value that
    the distance can have. A bootstrap would not do: videos drawn twice make a Fréchet distance larger, and in
    simulations its interval held the expected value in none to half of the cases, the jackknife's in 92 to 98%.

    Raises:
        ValueError: the sets differ in length.
    """
    total = len(originals)
    if not total == len(counterfactuals) == len(sources):
        raise ValueError(f"{total} originals, but {len(counterfactuals)} counterfactuals of {len(sources)} sources")
    order = sorted(range(total), key=lambda i: (sources[i], counterfactuals[i].tobytes()))

    def without(names: Collection[str]) -> float:
        kept = [i for i in order if sources[i] not in names]
        return distance([originals[i] for i in kept], [counterfactuals[i] for i in kept], [sources[i] for i in kept])

    ranked = sorted(set(sources), key=seeds.derive)
    value = without(())
    if len(ranked) < 3 or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, total, 0, len(ranked))
    count = math.ceil(len(ranked) / math.ceil(len(ranked) / BLOCKS))
    left_out = list(parallel.execute(without, [set(ranked[block::count]) for block in range(count)]))
    error = np.sqrt((len(left_out) - 1) * np.var(np.sort(left_out)))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(left_out) - 1) * error)
    return Estimate(value, max(value - half, lowest), value + half, total, 0, len(ranked))


def real_against_real(
    features: Features, names: Sequence[str], distance: Distance, seed: int = 0, splits: int = 10
) -> np.ndarray:
    """The floor of a set distance: what two sets of *different* originals are apart, ``[splits]`` values.

    ``features`` are those of 2N originals, each with a name of its own; each split deals them into two halves of N at
    random. The mean is the floor of a distance over N videos; a distance at N may not be read against a floor at
    another N.

    Raises:
        ValueError: fewer than four originals.
    """
    half = len(features) // 2
    if half < 2:
        raise ValueError(f"the floor needs four originals or more, got {len(features)}")
    ranked = np.argsort(np.array(names), kind="stable")
    rng = np.random.default_rng(seed)

    def split(order: np.ndarray) -> float:
        first, second = order[:half], order[half : 2 * half]
        return distance([features[i] for i in first], [features[i] for i in second], [names[i] for i in first])

    return np.array(list(parallel.execute(split, [rng.permutation(ranked) for _ in range(splits)])))
