"""Shares of random subsets on which one method is rated above another, against simulated features."""

import numpy as np
import pytest
from scipy import stats

from vcfe_bench.stats.subsets import null_band, share_interval

SIZE, SUBSETS = 16, 200


def shares(rng: np.random.Generator, videos: int, shift: float, times: int) -> np.ndarray:
    """Shares of subsets with a positive mean of normal differences between two methods."""
    found = []
    for _ in range(times):
        differences = rng.normal(shift, 1.0, videos)
        subsets = np.argsort(rng.random((SUBSETS, videos)), axis=1)[:, :SIZE]
        found.append((differences[subsets].mean(axis=1) > 0).mean())
    return np.array(found)


@pytest.mark.parametrize("videos", [32, 128])
def test_methods_that_are_alike_are_in_the_band(videos):
    low, high = null_band(SIZE, videos, SUBSETS)
    found = shares(np.random.default_rng(0), videos, 0.0, 200)
    assert ((low <= found) & (found <= high)).mean() == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(("videos", "shift"), [(64, 0.2), (128, 0.0), (128, 0.4)])
def test_the_interval_covers_the_probability(videos, shift):
    truth = stats.norm.cdf(shift * np.sqrt(SIZE))
    bounds = [
        share_interval(share, SIZE, videos, SUBSETS) for share in shares(np.random.default_rng(1), videos, shift, 200)
    ]
    assert np.mean([low <= truth <= high for low, high in bounds]) >= 0.92


def test_all_or_none_is_not_certain_of_more_than_it_is():
    low, high = share_interval(1.0, SIZE, 128, SUBSETS)
    assert 0.9 < low < high == 1.0
    assert share_interval(0.0, SIZE, 128, SUBSETS) == pytest.approx((0.0, 1 - low))
    assert share_interval(1.0, SIZE, 32, SUBSETS)[0] < low
