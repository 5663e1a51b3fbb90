"""Power of paired one-sided tests, and how small a loss they see; ``sample_size`` has the numbers of videos."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from scipy import stats

POWER = 0.8
"""Probability with which a loss is to be seen."""


def power_of_rates(before: float, after: float, videos: int, level: float) -> float:
    """Power of the exact one-sided test of McNemar if the answers of the two results are independent.

    ``before`` and ``after`` are the true rates, ``level`` the largest p value that counts.
    """
    worse, better = before * (1 - after), (1 - before) * after
    discordant = worse + better
    if discordant == 0:
        return 0.0
    fewest, most = stats.binom.ppf(np.array([1e-9, 1 - 1e-9]), videos, discordant)
    counts = np.arange(max(int(fewest), 1), int(most) + 1)
    critical = stats.binom.isf(level, counts, 0.5)
    rejected = stats.binom.sf(critical, counts, worse / discordant)
    return float((stats.binom.pmf(counts, videos, discordant) * rejected).sum())


def smallest_loss_of_rate(rate: float, videos: int, level: float) -> float:
    """The smallest loss, in hundredths, that is seen with ``POWER``; NaN if not even a loss of all is."""
    losses = range(1, math.floor(rate * 100 + 1e-9) + 1)
    place = bisect_left(losses, POWER, key=lambda loss: power_of_rates(rate, rate - loss / 100, videos, level))
    return losses[place] / 100 if place < len(losses) else math.nan


def smallest_loss_of_mean(deviation: float, videos: int, level: float) -> float:
    """The smallest loss of a mean that is seen with ``POWER``, to a good approximation.

    ``deviation`` is the standard deviation of the differences between videos. NaN where so few videos cannot reject at
    ``level`` at all.
    """
    if videos < 2 or 0.5**videos > level:
        return math.nan
    t = stats.t(videos - 1)
    return float((t.isf(level) + t.ppf(POWER)) * deviation / math.sqrt(videos))
