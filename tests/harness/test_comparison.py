"""Which methods differ significantly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcfe_bench.stats.significance import Rank, answers, fewest_videos, paired, ranks

HIGHER = ("score", "higher")
LOWER = ("score", "lower")
VIDEOS = np.random.default_rng(0).normal(0, 10, size=20)
"""The contribution of each video to every method's score, much larger than the differences between methods."""


def records(shift: float, seed: int, videos: slice = slice(None), noise: float = 0.5) -> pd.DataFrame:
    """Scores of a method that is ``shift`` better than another."""
    values = VIDEOS + shift + np.random.default_rng(seed).normal(0, noise, size=20)
    table = pd.DataFrame({"sample": [f"video-{i}" for i in range(20)], "goal": "class=1", "score": values})
    return table[videos]


def test_pairing_detects_differences_smaller_than_those_between_videos() -> None:
    ranking = ranks(["worst", "best", "middle"], [records(0, 1), records(2, 2), records(1, 3)], *HIGHER)
    assert ranking == [Rank("c"), Rank("a", best=True), Rank("b")]


def test_the_direction_determines_which_is_best() -> None:
    ranking = ranks(["low", "high"], [records(0, 1), records(2, 2)], *LOWER)
    assert ranking == [Rank("a", best=True), Rank("b")]


def test_methods_that_do_not_differ_share_a_letter_and_none_is_best() -> None:
    first, second, third = ranks(["a", "b", "c"], [records(0, 1), records(0, 2), records(-3, 3)], *HIGHER)
    assert {first.group, second.group, third.group} == {"a", "b"}
    assert first.group == second.group == "a"
    assert not any(rank.best for rank in (first, second, third))


def test_holm_counts_the_tests() -> None:
    """Five videos are never enough (p ≥ 2/32); six are (2/64), unless further methods are compared."""
    six = slice(0, 6)
    pair = [records(2, 1, six), records(0, 2, six)]
    assert ranks(["a", "b"], pair, *HIGHER)[0].best
    others = [records(0, seed, six) for seed in (3, 4)]
    assert not ranks(["a", "b", "c", "d"], pair + others, *HIGHER)[0].best
    assert not ranks(["a", "b"], [part[:5] for part in pair], *HIGHER)[0].best


def test_only_shared_videos_count() -> None:
    ranking = ranks(["a", "b"], [records(5, 1, slice(0, 10)), records(0, 2, slice(10, 20))], *HIGHER)
    assert ranking == [Rank("?"), Rank("?")]
    assert paired(*(answers(records(0, 1, part), "score") for part in (slice(0, 12), slice(8, 20)))).n == 4


@pytest.mark.parametrize(("videos", "methods"), [(5, 2), (8, 5), (10, 10)])
def test_where_no_difference_can_be_significant_there_are_no_letters(videos: int, methods: int) -> None:
    """One more video is enough for differences as clear as these."""
    assert fewest_videos(methods) == videos + 1
    names = [f"method {number}" for number in range(methods)]
    for count in (videos, videos + 1):
        ranking = ranks(names, [records(9 * n, n, slice(0, count)) for n in range(methods)], *HIGHER)
        groups = [rank.group for rank in ranking]
        assert groups == (["?"] * methods if count == videos else sorted(groups, reverse=True))
        assert len(set(groups)) == (1 if count == videos else methods)


def test_rows_of_one_method_are_not_compared() -> None:
    ranking = ranks(["a", "a", "b"], [records(2, 1), records(2, 2, slice(0, 15)), records(0, 3)], *HIGHER)
    assert sum(rank.best for rank in ranking) == 1
    assert [rank.group for rank in ranking] == ["a", "a", "b"]
    assert ranks(["a", "a"], [records(2, 1), records(0, 2)], *HIGHER) == [Rank(), Rank()]


def test_rows_without_values_have_no_rank() -> None:
    empty, unscored = records(0, 1).assign(score=np.nan), records(0, 1).drop(columns="score")
    ranking = ranks(["a", "b", "c", "d"], [records(2, 1), empty, records(0, 2), unscored], *HIGHER)
    assert ranking == [Rank("a", best=True), Rank(), Rank("b"), Rank()]
    assert ranks(["a", "b"], [records(2, 1), empty], *HIGHER) == [Rank(), Rank()]


def test_seeds_are_averaged() -> None:
    twice = pd.concat([records(0, 1), records(2, 1)])
    pd.testing.assert_series_equal(answers(twice, "score"), answers(records(1, 1), "score"))
    assert answers(twice.assign(goal=["class=1"] * 20 + ["class=2"] * 20), "score").size == 40


def test_a_difference_is_of_the_first_from_the_second() -> None:
    difference = paired(answers(records(3, 1, noise=0), "score"), answers(records(1, 1, noise=0), "score"))
    assert difference.value == pytest.approx(2)
    assert difference.clusters == 20
