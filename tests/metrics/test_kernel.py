import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.conftest import noise
from vcfe_bench.interfaces import SetMetric
from vcfe_bench.metrics.frechet import FVDI3D, FIDInception, FIDStVGG
from vcfe_bench.metrics.kernel import KVDI3D, KIDInception, KIDStVGG, kernel_distance
from vcfe_bench.stats.set_distances import real_against_real


def videos(seed: int, count: int, rows: int = 1, width: int = 6) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(count, rows, width)))


def named(videos: list[np.ndarray]) -> list[str]:
    return [str(video[0, 0]) for video in videos]


def distance(metric: SetMetric, originals: list[np.ndarray], edits: list[np.ndarray]) -> float:
    return metric.distance(originals, edits, named(originals))


def by_definition(originals: list[np.ndarray], edits: list[np.ndarray]) -> float:
    """Pair by pair over all pairs of different videos."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / len(x) + 1) ** 3

    different = [(i, j) for i in range(len(originals)) for j in range(len(originals)) if i != j]

    def mean(a: list[np.ndarray], b: list[np.ndarray]) -> float:
        return float(np.mean([k(x, y) for i, j in different for x in a[i] for y in b[j]]))

    return mean(originals, originals) + mean(edits, edits) - 2 * mean(originals, edits)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 3))
def test_by_definition_and_independent_of_order(seed, count, rows):
    originals, edits = videos(seed, count, rows), videos(seed + 1, count, rows)
    value = distance(KIDStVGG(), originals, edits)
    assert value == pytest.approx(by_definition(originals, edits), rel=1e-9, abs=1e-9)
    assert value == pytest.approx(distance(KIDStVGG(), originals[::-1], edits[::-1]), rel=1e-9, abs=1e-9)


def test_independent_sets_have_the_textbook_estimate():
    a, b = np.random.default_rng(0).normal(size=(2, 30, 5))
    k = [(x @ y.T / 5 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    expected = sum((m.sum() - np.trace(m)) / (30 * 29) for m in k[:2]) - 2 * k[2].mean()
    assert kernel_distance(a, b, np.arange(30), np.arange(30, 60)) == pytest.approx(expected, rel=1e-12)


def test_unchanged_videos_have_no_distance():
    originals = videos(0, 7, 3)
    assert distance(KVDI3D(), originals, originals) == pytest.approx(0, abs=1e-12)


def test_no_bias_from_few_videos():
    """For one distribution, the kernel distance is zero on average at every size; the Fréchet distance grows."""
    kernel, frechet = ({n: [] for n in (6, 24)} for _ in range(2))
    for seed in range(300):
        for n in kernel:
            halves = videos(2 * seed, n), videos(2 * seed + 1, n)
            kernel[n].append(distance(KVDI3D(), *halves))
            frechet[n].append(distance(FVDI3D(), *halves))
    for values in kernel.values():
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert np.mean(frechet[6]) > 2 * np.mean(frechet[24]) > 0.5


def test_no_reward_for_pairs():
    """Small edits of the same videos: unbiased, whereas each video's own copy pulls the usual estimate down."""
    ours, usual = [], []
    for seed in range(300):
        originals = videos(seed, 8)
        edits = [x + 0.1 * e for x, e in zip(originals, videos(seed + 1000, 8), strict=True)]
        ours.append(distance(KVDI3D(), originals, edits))
        rows = np.concatenate(originals), np.concatenate(edits)
        usual.append(kernel_distance(*rows, np.arange(8), np.arange(8, 16)))
    assert abs(np.mean(ours)) < 0.05
    assert np.mean(usual) < -0.3


def test_goals_of_one_video_are_not_compared_with_each_other():
    originals, edits = videos(0, 5), videos(1, 5)
    again = [x + 1e-9 for x in edits]
    once = distance(KVDI3D(), originals, edits)
    assert distance(KVDI3D(), originals * 2, edits + again) == pytest.approx(once, rel=1e-6)


def test_repeating_videos_does_not_change_the_value():
    originals, edits = videos(0, 6), videos(1, 6)
    assert distance(KVDI3D(), originals * 3, edits * 3) == pytest.approx(distance(KVDI3D(), originals, edits))


def test_undefined_values_and_sets_of_different_length():
    originals, edits = videos(0, 3), videos(1, 3)
    assert math.isnan(distance(KVDI3D(), [], []))
    assert math.isnan(distance(KVDI3D(), originals[:1], edits[:1]))
    assert math.isnan(distance(KVDI3D(), originals, [*edits[:2], np.full((1, 6), np.nan)]))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        distance(KVDI3D(), originals, edits[:2])


def test_the_noise_floor_is_about_zero():
    pool = videos(0, 200)
    floor = real_against_real(pool, named(pool), KVDI3D().distance, splits=20)
    assert abs(floor.mean()) < 0.2


def test_features_are_shared_with_the_frechet_distances():
    assert KVDI3D().network == FVDI3D().network
    assert KIDStVGG().network == FIDStVGG().network
    assert KIDInception().network == FIDInception().network
    video = noise(0, 2, 3, 32, 32)
    np.testing.assert_array_equal(KIDStVGG().features(video), FIDStVGG().features(video))
