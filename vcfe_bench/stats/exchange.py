"""Exact one-sided tests that one of two paired results is worse: the pairs are exchanged, one video at a time.

If both results are draws of one truth, exchanging the two results of a video changes nothing about their distribution.
The p value is the share of all exchanges with a loss at least as large as the observed one. It is exact whatever the
distribution of the values. Where all exchanges are too many to enumerate, they are drawn at random until enough of
them reach the observed loss (Besag and Clifford, Biometrika 78, 1991), which is exact as well. From ``LARGE`` videos
on, p is that of the sum's Edgeworth expansion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

ENUMERATED = 16
"""Most videos of which all exchanges of values are enumerated; of distances between sets, ``ENUMERATED_SETS``."""
ENUMERATED_SETS = 10
DRAWS, DRAWS_OF_SETS = 99_999, 4_999
"""Most exchanges that are drawn at random, of values and of sets."""
LARGE = 2000
"""Number of videos that differ from which on p is computed from the cumulants of the sum instead of drawn."""
REACHED, REACHED_OF_SETS = 100, 20
"""Drawing ends once this many exchanges have reached the observed loss."""
ROUNDING = 1e-9
"""Losses that differ by less than this share of the possible loss are equal."""


@dataclass(frozen=True)
class OneSided:
    """The result of a test.

    Attributes:
        p: probability of a loss at least this large if both results are draws of one truth; 1 where nothing differs.
        smallest: the smallest p that the test could have had, given the sizes of the differences.
        spread: standard deviation of the loss under exchange.
    """

    p: float
    smallest: float
    spread: float


UNCHANGED = OneSided(1.0, 1.0, 0.0)


def exchanged_values(losses: np.ndarray, seed: int = 0) -> OneSided:
    """Test that the sum of ``losses`` ``[videos]`` is greater than 0 by exchanging the two results of each video.

    ``losses[i]`` is by how much video i is worse in the second result, summed over its goals. An exchange changes its
    sign. For losses of -1, 0 and 1 this is the exact one-sided test of McNemar (1947).

    >>> exchanged_values(np.ones(8)).p
    0.00390625
    """
    sizes = np.sort(np.abs(losses[losses != 0]))
    if not len(sizes):
        return UNCHANGED
    gained = float(losses[losses > 0].sum())
    spread = float(np.sqrt((sizes**2).sum()))
    if len(sizes) >= LARGE:
        return OneSided(expanded(sizes, gained), max(0.5 ** len(sizes), np.finfo(float).tiny), spread)
    if np.array_equal(sizes, np.round(sizes)):
        p = _sum_of_whole(sizes.astype(int), round(gained))
    elif len(sizes) <= ENUMERATED:
        p = float((_all_sums(sizes) >= gained - ROUNDING * sizes.sum()).mean())
    else:
        rng, bound = np.random.default_rng(seed), gained - ROUNDING * sizes.sum()
        p = _drawn(lambda count: rng.integers(0, 2, (count, len(sizes))) @ sizes >= bound, 1000, DRAWS, REACHED)
        return OneSided(p, max(0.5 ** len(sizes), 1 / (DRAWS + 1)), spread)
    return OneSided(p, 0.5 ** len(sizes), spread)


def exchanged_sets(loss: Callable[[np.ndarray], float], videos: int, seed: int = 0) -> OneSided:
    """Test that a loss between two sets of videos is greater than what exchanging paired videos at random gives.

    ``loss`` maps which of the ``videos`` are exchanged (bool, ``[videos]``) to the loss; with none exchanged it is the
    observed one. An exchange whose loss is undefined (NaN) counts as one that reaches the observed loss.
    """
    observed = loss(np.zeros(videos, bool))
    bound = observed - ROUNDING * abs(observed)
    losses: list[float] = []

    def reached(exchanges: np.ndarray) -> np.ndarray:
        values = np.array([loss(exchange) for exchange in exchanges])
        losses.extend(values)
        return ~(values < bound)

    if videos <= ENUMERATED_SETS:
        every = (np.arange(2**videos)[:, None] >> np.arange(videos) & 1).astype(bool)
        p, smallest = float(reached(every).mean()), 0.5**videos
    else:
        rng = np.random.default_rng(seed)

        def draw(count: int) -> np.ndarray:
            return reached(rng.integers(0, 2, (count, videos)).astype(bool))

        p = _drawn(draw, 20, DRAWS_OF_SETS, REACHED_OF_SETS)
        smallest = 1 / (DRAWS_OF_SETS + 1)
    defined = np.array(losses)[np.isfinite(losses)]
    return OneSided(p, smallest, float(defined.std()) if len(defined) else np.nan)


def expanded(sizes: np.ndarray, gained: float) -> float:
    """The p value from the second and fourth cumulant of the sum of ``sizes`` ``[n]`` with random signs (Edgeworth).

    ``gained`` is the sum of those that have a positive sign. Whole numbers get a correction for continuity,
    and their variance Sheppard's.
    """
    whole = np.array_equal(sizes, np.round(sizes))
    step = float(np.gcd.reduce(sizes.astype(int))) if whole else 0.0
    variance = float((sizes**2).sum()) - step**2 / 3
    x = (2 * gained - step - float(sizes.sum())) / np.sqrt(variance)
    kurtosis = -2 * float((sizes**4).sum()) / variance**2
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.clip(special.ndtr(-x) + density * kurtosis / 24 * (x**3 - 3 * x), 0.0, 1.0))


def _all_sums(sizes: np.ndarray) -> np.ndarray:
    """The sums of all subsets, ``[2^n]``."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums, sums + size])
    return sums


def _sum_of_whole(sizes: np.ndarray, gained: int) -> float:
    """The share of all subsets of ``sizes`` whose sum is at least ``gained``."""
    shares = np.ones(1)
    for size in sizes:
        both = np.zeros(len(shares) + size)
        both[: len(shares)] += shares / 2
        both[size:] += shares / 2
        shares = both
    return float(min(shares[gained:].sum(), 1.0))


def _drawn(reached: Callable[[int], np.ndarray], batch: int, most: int, enough: int) -> float:
    """The p value from random exchanges; ``reached`` draws some and says which reach the observed loss."""
    drawn = found = 0
    while drawn < most:
        total = found + np.cumsum(reached(min(batch, most - drawn)))
        if total[-1] >= enough:
            return enough / (drawn + int(np.argmax(total >= enough)) + 1)
        drawn, found = drawn + len(total), int(total[-1])
    return (found + 1) / (most + 1)
