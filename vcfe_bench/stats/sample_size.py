"""How many videos a claim needs: the power of the paired tests with which tables compare methods."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from scipy import stats

from vcfe_bench.stats.intervals import LEVEL
from vcfe_bench.stats.power import POWER, power_of_rates

MOST = 1_000_000
"""Largest number of videos that is considered."""


def level_of_comparisons(methods: int) -> float:
    """The largest one-sided p value that is significant for the clearest pair of methods (first step of Holm)."""
    return (1 - LEVEL) / 2 / max(methods * (methods - 1) // 2, 1)


def videos_for_rates(better: float, worse: float, level: float) -> int | None:
    """The number of videos with which a difference between rates is seen with ``POWER``; None for more than ``MOST``.

    Both methods are asked the same videos, and their answers are independent given the rates, the worst case.
    """
    return _fewest(lambda videos: power_of_rates(better, worse, videos, level))


def power_of_means(difference: float, deviation: float, videos: int, level: float) -> float:
    """Power of a paired test of means, from the t test, with which the sign-flip test agrees for normal values.

    ``deviation`` is the standard deviation of the differences between the methods over videos.
    """
    if videos < 2 or 0.5**videos > level:
        return 0.0
    critical = stats.t.isf(level, videos - 1)
    return float(stats.nct.sf(critical, videos - 1, difference / deviation * math.sqrt(videos)))


def videos_for_means(difference: float, deviation: float, level: float) -> int | None:
    """The number of videos with which a difference between means is seen with ``POWER``; None for over ``MOST``."""
    return _fewest(lambda videos: power_of_means(difference, deviation, videos, level))


def _fewest(power: Callable[[int], float]) -> int | None:
    """A number of videos that has ``POWER`` while one less has not."""
    upper = next((2**k for k in range(1, 21) if 2**k <= 2 * MOST and power(2**k) >= POWER), None)
    return None if upper is None else upper // 2 + bisect_left(range(upper // 2, upper), POWER, key=power)
