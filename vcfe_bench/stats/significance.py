"""Which of several methods can be told apart, from their records of the same questions."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from vcfe_bench.core import seeds
from vcfe_bench.stats.intervals import (
    LEVEL,
    RESAMPLES,
    Estimate,
    _finite,
    mean_interval,
)

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Rank:
    """Where a method stands by a metric: it cannot be told apart from any that shares a letter of its ``group``.

    ``best``: its mean is the best, and every other method is significantly worse.
    """

    group: str = ""
    best: bool = False


def answers(records: pd.DataFrame, metric: str) -> pd.Series:
    """The metric's values by ``(sample, goal)``, those of several seeds averaged; without those that have none."""
    if metric not in records:
        return pd.Series(index=pd.MultiIndex.from_arrays([[], []], names=["sample", "goal"]), dtype=float)
    return records.groupby(["sample", "goal"], sort=False)[metric].mean().dropna()


def paired(first: pd.Series, second: pd.Series, seed: int = 0) -> Difference:
    """``first - second`` over the questions that both answered, with whole source videos drawn and flipped."""
    shared = first.index.intersection(second.index)
    videos = shared.get_level_values("sample").tolist()
    return paired_difference(first[shared].tolist(), second[shared].tolist(), videos, seed)


def ranks(names: Sequence[str], records: Sequence[pd.DataFrame], metric: str, direction: Direction) -> list[Rank]:
    """The rank of each row by a sample metric; ``names`` are the rows' methods, ``direction`` is the better one.

    All pairs of rows are tested by sign flips on the questions that both answered, and the p values adjusted by Holm's
    method. Letters are those of a compact letter display, ``a`` for the best. Rows of one method (over other videos,
    with other weights) are not tested against each other. Nothing is said of rows without values, or where there are no
    two methods.
    """
    sign = 1 if direction == "higher" else -1
    values = [sign * answers(part, metric) for part in records]
    order = sorted((row for row, found in enumerate(values) if len(found)), key=lambda row: -values[row].mean())
    result = [Rank()] * len(names)
    if len({names[row] for row in order}) < 2:
        return result
    tests = {
        (i, j): paired(values[a], values[b], seeds.derive(metric, names[a], names[b]))
        for (i, a), (j, b) in itertools.combinations(enumerate(order), 2)
        if names[a] != names[b]
    }
    significant = holm([test.p for test in tests.values()]) < 1 - LEVEL
    distinct = {pair for pair, told in zip(tests, significant, strict=True) if told}
    groups = groups_alike(len(order), distinct)
    ahead = all(pair in distinct and test.value > 0 for pair, test in tests.items() if pair[0] == 0)
    for place, row in enumerate(order):
        letters = "".join(_letter(number) for number, group in enumerate(groups) if place in group)
        result[row] = Rank(letters, place == 0 and ahead)
    return result


def _letter(number: int) -> str:
    return ascii_lowercase[number % 26] * (number // 26 + 1)


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
