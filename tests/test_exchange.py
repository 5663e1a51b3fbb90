"""Exact one-sided tests by exchange, Holm's weighted procedure, and the power of the tests."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vcfe_bench.stats import exchange, power, sample_size
from vcfe_bench.stats.family import ERROR, weighted_holm, weights
from vcfe_bench.stats.significance import holm


def by_hand(losses: np.ndarray) -> float:
    """The share of all changes of signs whose sum is at least the observed one."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(losses))))
    return float((signs @ losses >= losses.sum() - 1e-9).mean())


@given(st.lists(st.sampled_from((-2, -1, 0, 1, 2)), max_size=10))
def test_whole_losses_are_summed_exactly(losses: list[int]) -> None:
    values = np.array(losses, float)
    assert exchange.exchanged_values(values).p == pytest.approx(by_hand(values) if values.any() else 1.0)


@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=10))
def test_few_losses_are_enumerated(losses: list[float]) -> None:
    values = np.array(losses)
    assert exchange.exchanged_values(values).p == pytest.approx(by_hand(values))


def test_losses_of_one_flip_are_mcnemars_test() -> None:
    losses = np.array([1.0] * 12 + [-1.0] * 3 + [0.0] * 17)
    assert exchange.exchanged_values(losses).p == pytest.approx(stats.binomtest(12, 15, alternative="greater").pvalue)


def test_many_losses_are_drawn() -> None:
    losses = np.random.default_rng(0).normal(0.3, 1, 40)
    signs = np.random.default_rng(1).choice((1, -1), (200_000, 40))
    drawn = (signs @ np.abs(losses) >= losses.sum()).mean()
    assert exchange.exchanged_values(losses).p == pytest.approx(drawn, rel=0.4)
    assert exchange.exchanged_values(np.arange(1.0, 41) + 0.5).p == 1 / (exchange.DRAWS + 1)


def test_very_many_losses_have_the_p_of_the_binomial_test_and_of_draws() -> None:
    for better, worse in ((2600, 2500), (2500, 2600), (3000, 2400)):
        losses = np.repeat([1.0, -1.0], [better, worse])
        expected = stats.binomtest(better, better + worse, alternative="greater").pvalue
        assert exchange.exchanged_values(losses).p == pytest.approx(expected, rel=0.01)
    losses = np.random.default_rng(0).lognormal(size=5500) * np.random.default_rng(1).choice(
        (1, -1), 5500, p=(0.52, 0.48)
    )
    signs = np.random.default_rng(2).choice((1.0, -1.0), (5_000, 5500))
    drawn = (signs @ np.abs(losses) >= losses.sum()).mean()
    assert exchange.exchanged_values(losses).p == pytest.approx(drawn, abs=0.02)


def test_sets_are_exchanged_video_by_video() -> None:
    """For a loss that is a mean over videos, exchanging sets is exchanging values."""
    losses = np.array([0.5, 0.25, -0.125, 1.0, 0.75])
    of_sets = exchange.exchanged_sets(lambda swap: float(np.where(swap, -losses, losses).mean()), len(losses))
    of_values = exchange.exchanged_values(losses)
    assert (of_sets.p, of_sets.smallest) == (of_values.p, of_values.smallest)
    many = np.random.default_rng(0).normal(0.2, 1, 30)
    drawn = exchange.exchanged_sets(lambda swap: float(np.where(swap, -many, many).sum()), len(many))
    assert drawn.p == pytest.approx(exchange.exchanged_values(many).p, abs=0.1)
    assert drawn.spread == pytest.approx(exchange.exchanged_values(many).spread, rel=0.3)


def test_an_undefined_loss_is_no_loss() -> None:
    assert exchange.exchanged_sets(lambda swap: math.nan, 4).p == 1.0


def test_random_draws_are_exact() -> None:
    """Under the null, p is at most x with a probability of at most x."""
    rng = np.random.default_rng(0)
    p = [exchange.exchanged_values(rng.normal(size=17), seed).p for seed in range(400)]
    for level in (0.02, 0.05, 0.2):
        assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 400)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_equal_weights_are_holms_procedure(p: list[float]) -> None:
    equal = np.full(len(p), 1 / len(p))
    assert weighted_holm(p, equal) == pytest.approx(holm(p), abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=60))
def test_weights_are_shares_of_one_error_rate(tests: list[tuple[int, int]]) -> None:
    ranks, smallest = [rank for rank, _ in tests], [0.5**count for _, count in tests]
    shares = weights(smallest, ranks)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1) or not shares.any()
    able = shares > 0
    assert (shares[able] * ERROR >= np.array(smallest)[able] * (1 - 1e-9)).all(), "those with a share can reject"


def test_eight_videos_and_two_methods_can_reject_by_every_metric() -> None:
    shares = weights([1 / 256] * 12, [0, 1, 2, 3, 4, 5] * 2)
    assert (shares * ERROR >= 1 / 256).all()
    many = weights([1 / 256] * 48, [0, 1, 2, 3, 4, 5] * 8)
    assert (many[::6] * ERROR >= 1 / 256).all(), "with eight methods, by the first"


def test_the_first_metric_has_the_largest_share() -> None:
    shares = weights([1e-9] * 12, [0, 1, 2, 3, 4, 5] * 2)
    assert shares[:6] == pytest.approx([1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 64], rel=1e-3)


def test_power_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random((2000, 32)) < 0.9, rng.random((2000, 32)) < 0.6
    p = [exchange.exchanged_values(old.astype(float) - new).p for old, new in zip(before, after, strict=True)]
    assert power.power_of_rates(0.9, 0.6, 32, 0.01) == pytest.approx(np.mean(np.array(p) <= 0.01), abs=0.03)


def test_the_smallest_loss_is_seen_and_the_next_smaller_one_is_not() -> None:
    smallest = power.smallest_loss_of_rate(0.9, 32, 0.01)
    assert power.power_of_rates(0.9, 0.9 - smallest, 32, 0.01) >= power.POWER
    assert power.power_of_rates(0.9, 0.91 - smallest, 32, 0.01) < power.POWER
    assert math.isnan(power.smallest_loss_of_rate(0.9, 4, 0.01)), "four videos never reach 1 %"


def test_the_number_of_videos_is_enough() -> None:
    videos = sample_size.videos_for_rates(0.9, 0.7, 0.01)
    assert videos is not None
    assert power.power_of_rates(0.9, 0.7, videos, 0.01) == pytest.approx(power.POWER, abs=0.03)
    needed = sample_size.videos_for_means(0.5, 1.0, 0.01)
    assert needed is not None
    assert power.smallest_loss_of_mean(1.0, needed, 0.01) == pytest.approx(0.5, rel=0.05)
    assert math.isnan(power.smallest_loss_of_mean(1.0, 6, 0.01)), "1/64 is more than 1 %"
