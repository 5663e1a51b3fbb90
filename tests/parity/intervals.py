"""Intervals against scipy's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from tests.parity.measurement import Measurement
from vcfe_bench.stats.intervals import RESAMPLES, TAIL, Estimate, mean_interval, pairs_interval, rate_interval
from vcfe_bench.stats.set_distances import distance_interval

DRAWS = 0.05
"""Tolerance as a share of the interval's width: two bootstraps of 9,999 draws differ in their random numbers."""


def intervals() -> Iterator[Measurement]:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=50)
    pairs = np.stack([values, values + rng.normal(size=50)])
    bootstrap = {"n_resamples": RESAMPLES, "method": "percentile", "rng": np.random.default_rng(7)}
    yield _compare(
        "studentised bootstrap interval of a mean",
        "scipy.stats.ttest_1samp of each draw",
        mean_interval(values.tolist()),
        _studentised(values),
        DRAWS,
    )
    found = pairs_interval(*pairs.tolist(), lambda x, y: float(np.corrcoef(x, y)[0, 1]))
    reference = stats.bootstrap(pairs, lambda x, y: np.corrcoef(x, y)[0, 1], paired=True, vectorized=False, **bootstrap)
    yield _compare(
        "bootstrap interval of a statistic of pairs",
        "scipy.stats.bootstrap",
        found,
        reference.confidence_interval,
        DRAWS,
    )
    found = rate_interval([1.0] * 16)
    reference = stats.binomtest(16, 16).proportion_ci(method="exact")
    yield _compare("interval of a rate of 16 of 16", "scipy.stats.binomtest", found, reference, 1e-9, "16 values")
    sides = [list(side[:20, None, None]) for side in pairs]
    found = distance_interval(
        *sides,
        lambda a, b, sources: float(np.concatenate(b).mean() - np.concatenate(a).mean()) + 9,
        [f"video {i}" for i in range(20)],
    )
    reference = stats.ttest_1samp(pairs[1, :20] - pairs[0, :20] + 9, 0).confidence_interval()
    yield _compare(
        "jackknife interval of a difference of means", "scipy.stats.ttest_1samp", found, reference, 1e-9, "20 pairs"
    )


def _studentised(values: np.ndarray) -> Estimate:
    """The bootstrap-t interval by its definition: t statistics of draws of ``values`` against their mean."""
    draws = np.random.default_rng(7).choice(values, (RESAMPLES, len(values)))
    scores = stats.ttest_1samp(draws, values.mean(), axis=1).statistic
    low, high = np.quantile(scores, [TAIL, 1 - TAIL])
    error = stats.sem(values)
    mean, count = float(values.mean()), len(values)
    return Estimate(mean, float(mean - high * error), float(mean - low * error), count, 0, count)


def _compare(what: str, name: str, found, reference, tolerance: float, on: str = "50 random values") -> Measurement:  # type: ignore[no-untyped-def]
    worst = max(abs(found.low - reference.low), abs(found.high - reference.high))
    return Measurement(
        what, name, on, float(worst / (reference.high - reference.low)), "relative to the width", tolerance
    )
