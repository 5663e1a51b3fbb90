"""Distances between sets of videos: jackknife intervals, and the real-vs-real baseline (noise floor)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
from scipy import stats

from vcfe_bench.core import seeds
from vcfe_bench.executors import parallel
from vcfe_bench.stats.intervals import LEVEL, Estimate

SPLITS, NOISE_SPLITS = 20, 50
"""Numbers of random halves for a floor: for its mean, and for the spread of a distance whose mean is known."""
BLOCKS = 20
"""Largest number of blocks that the jackknife leaves out in turn; a block is a source video or a group of them."""
Features = Sequence[np.ndarray]
"""Features of a set of videos: one array ``[n, D]`` per video."""
Distance = Callable[[Features, Features, Sequence[str]], float]
"""Maps features of originals and of counterfactuals, and the name of each pair's source video, to a distance."""


def distance_interval(
    originals: Features,
    counterfactuals: Features,
    distance: Distance,
    sources: Sequence[str],
    lowest: float = -math.inf,
) -> Estimate:
    """A set distance with its delete-a-group jackknife interval over source videos.

    ``counterfactuals[i]`` was made from ``originals[i]``, and ``sources[i]`` names that video; all pairs of a source
    video are left out together. With more than ``BLOCKS`` source videos, groups of them are left out. The groups are as
    equal in size as possible, since the bias of a distance depends on the number of videos, and blocks of one and of
    two videos would differ in bias, which widens the interval.

    The interval is for the distance *at this number of videos*, including its bias. It is cut off at ``lowest``, the
    smallest value that the distance can have. With fewer than three source videos there is no interval.

    A bootstrap is not an alternative: repeated videos increase a Fréchet distance. In simulations, bootstrap intervals
    covered the expected value in 0 to 50 % of the cases, jackknife intervals in 92 to 98 %. ``distance`` must not treat
    the remaining videos differently when others are left out (``SetMetric.distance_among``).

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
    (value,) = parallel.execute(without, [()])
    if len(ranked) < 3 or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, total, 0, len(ranked))
    count = math.ceil(len(ranked) / math.ceil(len(ranked) / BLOCKS))
    left_out = list(parallel.execute(without, [set(ranked[block::count]) for block in range(count)]))
    error = np.sqrt((len(left_out) - 1) * np.var(np.sort(left_out)))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(left_out) - 1) * error)
    return Estimate(value, max(value - half, lowest), value + half, total, 0, len(ranked))


def real_against_real(
    features: Features, names: Sequence[str], distance: Distance, seed: int = 0, splits: int = SPLITS
) -> np.ndarray:
    """Distances between two sets of *different* real videos, ``[splits]``; their mean is the noise floor.

    ``features`` are those of 2N real videos, each with a unique name. Each split divides them at random into two halves
    of N. The mean is the floor of a distance over N videos; a distance at N must not be compared with a floor at
    another N.

    Raises:
        ValueError: fewer than four videos.
    """
    half = len(features) // 2
    if half < 2:
        raise ValueError(f"a floor needs at least four originals, got {len(features)}")
    ranked = np.argsort(np.array(names), kind="stable")
    rng = np.random.default_rng(seed)

    def split(order: np.ndarray) -> float:
        first, second = order[:half], order[half : 2 * half]
        return distance([features[i] for i in first], [features[i] for i in second], [names[i] for i in first])

    return np.array(list(parallel.execute(split, [rng.permutation(ranked) for _ in range(splits)])))
