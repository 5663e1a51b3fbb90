"""How often the intervals contain the truth: by enumeration for rates, by simulation for everything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from vcfe_bench.stats.intervals import clopper_pearson, mean_interval, rate_interval

RATES = np.linspace(0.02, 0.98, 97)


def coverage(estimate: Callable[[], tuple[float, float]], truth: float, times: int) -> float:
    intervals = np.array([estimate() for _ in range(times)])
    return float(((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean())


@pytest.mark.parametrize("videos", [8, 12, 16, 24, 32, 64, 128, 256])
def test_the_interval_of_a_rate_covers_it_at_every_rate(videos: int) -> None:
    """Every count is enumerated: the coverage is exact."""
    counts = np.arange(videos + 1)
    low, high = np.array([clopper_pearson(count, videos) for count in counts]).T
    assert (np.diff(low) > 0).all(), "one more flip moves the interval up"
    assert (np.diff(high)[:-1] > 0).all()
    inside = (low[:, None] <= RATES) & (high[:, None] >= RATES)
    covered = (stats.binom.pmf(counts[:, None], videos, RATES) * inside).sum(axis=0)
    assert covered.min() >= 0.95
    reference = stats.binomtest(videos // 3, videos).proportion_ci(method="exact")
    assert (low[videos // 3], high[videos // 3]) == pytest.approx((reference.low, reference.high))


def answers(rng: np.random.Generator, videos: int, rate: float, correlation: float) -> np.ndarray:
    """Answers to three goals of each video, ``[videos, 3]``; equal within a video with this probability."""
    shared = rng.random((videos, 1)) < rate
    return np.where(rng.random((videos, 1)) < correlation, shared, rng.random((videos, 3)) < rate).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_the_interval_of_a_rate_over_several_goals_of_a_video_covers_it(correlation: float, rate: float) -> None:
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(8), 3).tolist()

    def interval() -> tuple[float, float]:
        estimate = rate_interval(answers(rng, 8, rate, correlation).ravel().tolist(), names)
        return estimate.low, estimate.high

    assert coverage(interval, rate, 1000) >= 0.93


SHARES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "two other targets": lambda rng, videos: rng.binomial(2, 0.7, videos) / 2,
    "two other targets that agree": lambda rng, videos: rng.binomial(1, 0.7, videos).astype(float),
    "four attributes, mostly kept": lambda rng, videos: 1 - rng.binomial(4, 0.03, videos) / 4,
    "all or nothing, mostly kept": lambda rng, videos: (rng.random(videos) < 0.95).astype(float),
}


@pytest.mark.slow
@pytest.mark.parametrize("videos", [8, 32])
@pytest.mark.parametrize("kind", SHARES)
def test_the_interval_of_a_share_covers_it(kind: str, videos: int) -> None:
    rng = np.random.default_rng(0)
    truth = float(SHARES[kind](np.random.default_rng(1), 1_000_000).mean())

    def interval() -> tuple[float, float]:
        estimate = rate_interval(SHARES[kind](rng, videos).tolist())
        return estimate.low, estimate.high

    assert coverage(interval, truth, 1000) >= 0.93


def mean_coverage(draw: Callable[[int], np.ndarray], truth: float, videos: int, times: int) -> float:
    def interval() -> tuple[float, float]:
        estimate = mean_interval(draw(videos).tolist())
        return estimate.low, estimate.high

    return coverage(interval, truth, times)


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    assert 0.93 <= mean_coverage(lambda n: rng.normal(size=n), 0.0, 8, 200) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("videos", [8, 16, 32])
def test_the_interval_of_a_mean_covers_it_for_normal_and_for_skewed_values(videos: int) -> None:
    normal, skewed = np.random.default_rng(1), np.random.default_rng(2)
    assert mean_coverage(lambda n: normal.normal(size=n), 0.0, videos, 2000) >= 0.93
    assert mean_coverage(lambda n: skewed.lognormal(size=n), float(np.exp(0.5)), videos, 2000) >= 0.90
