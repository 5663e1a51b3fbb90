"""Which of several methods can be told apart, from their records of the same questions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import pandas as pd

from vcfe_bench import seeds, statistics
from vcfe_bench.statistics import LEVEL, Difference


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
    return statistics.paired_difference(first[shared].tolist(), second[shared].tolist(), videos, seed)


def ranks(names: Sequence[str], records: Sequence[pd.DataFrame], metric: Mapping[str, Any]) -> list[Rank]:
    """The rank of each row by a sample metric with a direction; ``names`` are the rows' methods.

    All pairs of rows are tested by sign flips on the questions that both answered, and the p values adjusted by Holm's
    method. Letters are those of a compact letter display, ``a`` for the best. Rows of one method (over other videos,
    with other weights) are not tested against each other. Nothing is said of rows without values, or where there are no
    two methods.
    """
    sign = 1 if metric["direction"] == "higher" else -1
    values = [sign * answers(part, metric["name"]) for part in records]
    order = sorted((row for row, found in enumerate(values) if len(found)), key=lambda row: -values[row].mean())
    result = [Rank()] * len(names)
    if len({names[row] for row in order}) < 2:
        return result
    tests = {
        (i, j): paired(values[a], values[b], seeds.derive(metric["name"], names[a], names[b]))
        for (i, a), (j, b) in itertools.combinations(enumerate(order), 2)
        if names[a] != names[b]
    }
    significant = statistics.holm([test.p for test in tests.values()]) < 1 - LEVEL
    distinct = {pair for pair, told in zip(tests, significant, strict=True) if told}
    groups = statistics.groups_alike(len(order), distinct)
    ahead = all(pair in distinct and test.value > 0 for pair, test in tests.items() if pair[0] == 0)
    for place, row in enumerate(order):
        letters = "".join(_letter(number) for number, group in enumerate(groups) if place in group)
        result[row] = Rank(letters, place == 0 and ahead)
    return result


def _letter(number: int) -> str:
    return ascii_lowercase[number % 26] * (number // 26 + 1)
