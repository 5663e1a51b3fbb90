"""How often a check fails though nothing got worse, and how often it sees a loss, for synthetic results."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from tests.harness.gate_worlds import draw
from vcfe_bench.results.gate import gate


def failed(
    videos: int,
    methods: int,
    repeats: int,
    truth: Mapping[str, float] | None = None,
    shift: float = 1.0,
    before: Mapping[str, float] | None = None,
    seed: int = 0,
) -> int:
    """Of ``repeats`` checks of a draw with ``truth`` against one with ``before``, how many fail."""
    rng = np.random.default_rng(seed)
    count = 0
    for _ in range(repeats):
        old = draw(rng, videos, methods, before)
        new = draw(rng, videos, methods, truth if truth is not None else before, shift)
        count += any(finding.failing for finding in gate.check(new, old, {}))
    return count


def test_two_draws_of_one_truth_rarely_fail() -> None:
    assert failed(8, 1, 20) <= stats.binom.isf(1e-3, 20, 0.05)


def test_losing_all_flips_of_eight_videos_always_fails() -> None:
    assert failed(8, 2, 3, {"FR": 0.0}, before={"FR": 1.0}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("videos", [8, 32, 128])
@pytest.mark.parametrize("methods", [1, 8])
def test_false_alarms_stay_below_five_percent(videos: int, methods: int) -> None:
    repeats = 200
    assert failed(videos, methods, repeats) <= stats.binom.isf(1e-3, repeats, 0.05)


@pytest.mark.slow
def test_a_loss_of_a_third_of_the_flips_is_seen() -> None:
    assert failed(32, 2, 200, {"FR": 0.6}) >= stats.binom.ppf(0.05, 200, 0.8)


@pytest.mark.slow
def test_worse_features_are_seen() -> None:
    assert failed(32, 2, 50, shift=1.6) >= 40
