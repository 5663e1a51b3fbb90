"""Paired significance tests between methods, from their records with the same videos and goals."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase
from typing import Literal

import numpy as np
import pandas as pd

from vcfe_bench.stats.exchange import LARGE, expanded
from vcfe_bench.stats.intervals import LEVEL, RESAMPLES, ROUNDING, Estimate, mean_interval, present_values

Direction = Literal["higher", "lower"]
"""Which values of a metric are better."""
TOO_FEW = "?"
"""Group of all methods where there are too few videos to tell any of them apart."""


@dataclass(frozen=True)
class Rank:
    """The rank of a method by a metric.

    Attributes:
        group: letters of a compact letter display; methods that share a letter are not significantly different.
            ``TOO_FEW`` where even the clearest difference could not be significant.
        best: whether the method's mean is the best and every other method is significantly worse.
    """

    group: str = ""
    best: bool = False


def answers(records: pd.DataFrame, metric: str) -> pd.Series:
    """The metric's values by ``(sample, goal)``, averaged over seeds, without missing values."""
    if metric not in records:
        return pd.Series(index=pd.MultiIndex.from_arrays([[], []], names=["sample", "goal"]), dtype=float)
    return records.groupby(["sample", "goal"], sort=False)[metric].mean().dropna()


def paired(first: pd.Series, second: pd.Series) -> Difference:
    """The mean of ``first - second`` over the samples and goals that both have; clusters are source videos."""
    shared = first.index.intersection(second.index)
    videos = pd.factorize(shared.get_level_values("sample"))[0]
    return paired_difference(first[shared].to_numpy(float), second[shared].to_numpy(float), videos)


def ranks(names: Sequence[str], records: Sequence[pd.DataFrame], metric: str, direction: Direction) -> list[Rank]:
    """The rank of each row by a sample metric, of which ``direction`` is better; ``names`` are the rows' methods.

    All pairs of rows are compared with a sign-flip test on the samples and goals that both have, and the p values are
    adjusted by Holm's method. ``a`` is the letter of the best group. Rows of the same method (over other videos or with
    other weights) are not compared with each other. Rows without values have no rank, and neither has any row if there
    are fewer than two methods. Where the smallest p value that any of the tests can have is above 5 % after Holm's
    method, all rows are in the group ``TOO_FEW``.
    """
    sign = 1 if direction == "higher" else -1
    values = [sign * answers(part, metric) for part in records]
    order = sorted((row for row, series in enumerate(values) if len(series)), key=lambda row: -values[row].mean())
    result = [Rank()] * len(names)
    if len({names[row] for row in order}) < 2:
        return result
    tests = {
        (i, j): paired(values[a], values[b])
        for (i, a), (j, b) in itertools.combinations(enumerate(order), 2)
        if names[a] != names[b]
    }
    if len(tests) * min(smallest_p(test.clusters) for test in tests.values()) > 1 - LEVEL:
        for row in order:
            result[row] = Rank(TOO_FEW)
        return result
    significant = holm([test.p for test in tests.values()]) < 1 - LEVEL
    distinct = {pair for pair, is_significant in zip(tests, significant, strict=True) if is_significant}
    groups = groups_alike(len(order), distinct)
    ahead = all(pair in distinct and test.value > 0 for pair, test in tests.items() if pair[0] == 0)
    for place, row in enumerate(order):
        letters = "".join(_letter(number) for number, group in enumerate(groups) if place in group)
        result[row] = Rank(letters, place == 0 and ahead)
    return result


def smallest_p(videos: int) -> float:
    """The smallest p value that ``paired_difference`` can have with this many source videos.

    >>> tuple(smallest_p(videos) for videos in (1, 5, 8))
    (1.0, 0.0625, 0.0078125)
    """
    return max(2.0 ** (1 - videos), 1 / (RESAMPLES + 1))


def fewest_videos(methods: int) -> int:
    """The smallest number of videos with which a difference between that many methods can be significant."""
    pairs = methods * (methods - 1) // 2
    return next(videos for videos in range(1, 64) if pairs * 2.0 ** (1 - videos) <= 1 - LEVEL)


def _letter(number: int) -> str:
    return ascii_lowercase[number % 26] * (number // 26 + 1)


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean paired difference with the p value of a two-sided test that the two sides are exchangeable."""

    p: float


def paired_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable] | np.ndarray | None = None,
) -> Difference:
    """Mean of ``first[i] - second[i]`` with the interval of ``mean_interval`` and a sign-flip permutation test.

    The test flips the signs of all differences of a source video together, in all ways if these are at most
    ``RESAMPLES``, else in ``RESAMPLES`` random ways, and p is the share of ways with a sum at least as far from 0; from
    ``exchange.LARGE`` source videos on it is computed (``exchange.expanded``). For differences of -1, 0 and 1 this is
    McNemar's test. Pairs with a NaN are excluded and counted as missing. ``p`` is
    NaN without pairs.

    Raises:
        ValueError: ``first`` and ``second`` differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean = mean_interval(differences, clusters)
    kept, groups = present_values(differences, clusters)
    p = np.nan
    if len(kept):
        sums = np.bincount(groups, kept)
        p = _flipped(sums) if len(sums) < LARGE else _expanded(sums)
    return Difference(mean.value, mean.low, mean.high, mean.n, mean.missing, mean.clusters, p)


def _flipped(sums: np.ndarray) -> float:
    reached = np.abs(np.einsum("n,nr->r", sums, _signs(len(sums), RESAMPLES)))
    return float((reached >= abs(sums.sum()) * (1 - ROUNDING)).mean())


def _expanded(sums: np.ndarray) -> float:
    sizes = np.abs(sums[sums != 0])
    return min(2 * expanded(sizes, (abs(float(sums.sum())) + float(sizes.sum())) / 2), 1.0) if len(sizes) else 1.0


@lru_cache(maxsize=8)
def _signs(count: int, resamples: int) -> np.ndarray:
    """Ways to flip the signs of ``count`` sums, ``[count, ways]``: the one that flips none first.

    Of two opposite ways, which are equally far from 0, one is enough.
    """
    if 2.0 ** (count - 1) <= resamples:
        ways = np.arange(2 ** (count - 1)) >> np.arange(count)[:, None] & 1
    else:
        ways = np.random.default_rng(count).integers(0, 2, (count, resamples + 1))
        ways[:, 0] = 0
    return np.ascontiguousarray(1 - 2 * ways, dtype=np.float32)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values ``[n]`` adjusted for n tests by Holm's step-down method (Scand. J. Statist. 6, 1979), in the same order.

    NaN stands for a test that was not performed: it stays NaN and is not counted among the n.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(adjusted))
    order = made[np.argsort(adjusted[made])]
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def groups_alike(count: int, distinct: Collection[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The maximal groups of ``range(count)`` without a ``distinct`` pair: the letters of a compact letter display.

    Two members share a group if and only if they are not distinct (insert-and-absorb algorithm; Piepho, J. Comput.
    Graph. Stat. 13, 2004). Groups may overlap, since "not significantly different" is not transitive. The groups are
    sorted by their members.
    """
    groups = [frozenset(range(count))] if count else []
    for pair in distinct:
        split = {group - {member} for group in groups if group.issuperset(pair) for member in pair}
        kept = {group for group in groups if not group.issuperset(pair)} | split
        groups = [group for group in kept if not any(group < other for other in kept)]
    return sorted(tuple(sorted(group)) for group in groups)
