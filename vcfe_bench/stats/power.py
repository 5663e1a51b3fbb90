"""How small a loss a paired one-sided test sees, and how many videos it needs to see a given one."""

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


def videos_for_rate(rate: float, loss: float, level: float) -> float:
    """The number of videos at which a loss of a rate is seen with ``POWER`` (Miettinen, Biometrics 24, 1968).

    NaN where the rate is smaller than the loss.
    """
    if rate < loss:
        return math.nan
    after = rate - loss
    discordant = rate * (1 - after) + (1 - rate) * after
    z, reach = stats.norm.isf(level), stats.norm.ppf(POWER)
    return float(math.ceil((z * math.sqrt(discordant) + reach * math.sqrt(discordant - loss**2)) ** 2 / loss**2))


def smallest_loss_of_mean(deviation: float, videos: int, level: float) -> float:
    """The smallest loss of a mean that is seen with ``POWER``, to a good approximation.

    ``deviation`` is the standard deviation of the differences between videos. NaN where so few videos cannot reject at
    ``level`` at all.
    """
    if videos < 2 or 0.5**videos > level:
        return math.nan
    t = stats.t(videos - 1)
    return float((t.isf(level) + t.ppf(POWER)) * deviation / math.sqrt(videos))


def videos_for_mean(deviation: float, loss: float, level: float) -> float:
    """The number of videos at which a loss of a mean is seen with ``POWER``."""
    z = stats.norm.isf(level) + stats.norm.ppf(POWER)
    fewest = math.ceil(-math.log2(level))
    return float(max(math.ceil((z * deviation / loss) ** 2), fewest))
