"""How often a statistic over a few random videos is positive, estimated from random subsets of more videos.

A statistic over m of n videos varies between subsets with variance (1/m - 1/n) σ², and the mean of all subsets varies
around the truth with σ²/n (Politis and Romano, Ann. Stat. 22, 1994). If the statistic is about normal, the probit of
the share of positive subsets has a known error, and the share is spread evenly over [0, 1] if half of the videos are
drawn. Only where n is much greater than m does the share say anything.
"""

from __future__ import annotations

import math

from scipy import stats

from vcfe_bench.stats.intervals import LEVEL

Z = float(stats.norm.ppf((1 + LEVEL) / 2))


def share_interval(share: float, size: int, total: int, subsets: int) -> tuple[float, float]:
    """95 % interval of the probability that the statistic over ``size`` random videos is positive.

    Args:
        share: of the subsets with a positive value.
        size: number of videos in a subset.
        total: number of videos that the subsets are drawn from, greater than ``size``.
        subsets: their number.
    """
    inner = min(max(share, 0.5 / subsets), 1 - 0.5 / subsets)
    probit = float(stats.norm.ppf(inner))
    drawn = inner * (1 - inner) / subsets / float(stats.norm.pdf(probit)) ** 2
    remaining = 1 - size / total
    margin = Z * math.sqrt(size / total + remaining * drawn)
    centre = probit * math.sqrt(remaining)
    low = 0.0 if share == 0 else float(stats.norm.cdf(centre - margin))
    high = 1.0 if share == 1 else float(stats.norm.cdf(centre + margin))
    return low, high


def null_band(size: int, total: int, subsets: int) -> tuple[float, float]:
    """The range in which 95 % of the shares lie if the statistic is as likely positive as negative.

    >>> tuple(round(bound, 2) for bound in null_band(16, 32, 200))
    (0.02, 0.98)
    >>> tuple(round(bound, 2) for bound in null_band(16, 128, 200))
    (0.22, 0.78)
    """
    drawn = math.pi / (2 * subsets)
    margin = Z * math.sqrt(size / (total - size) + drawn)
    return float(stats.norm.cdf(-margin)), float(stats.norm.cdf(margin))
