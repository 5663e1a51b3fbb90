import math

import numpy as np
import pytest

from vcfe_bench.interfaces import SetMetric
from vcfe_bench.metrics.frechet import FVDI3D, FIDStVGG
from vcfe_bench.metrics.split_half import SFVDI3D, SPLITS, SFIDStVGG, split_half_distance
from vcfe_bench.stats.set_distances import real_against_real


def videos(seed: int, count: int, width: int = 30, scale: float = 1.0) -> list[np.ndarray]:
    return list(scale * np.random.default_rng(seed).normal(size=(count, 1, width)).astype(np.float32))


def named(videos: list[np.ndarray]) -> list[str]:
    return [str(video[0, 0]) for video in videos]


def distance(metric: SetMetric, originals: list[np.ndarray], counterfactuals: list[np.ndarray]) -> float:
    return metric.distance(originals, counterfactuals, named(originals))


def floor_of(pool: list[np.ndarray], metric: SetMetric) -> np.ndarray:
    return real_against_real(pool, named(pool), metric.distance)


def edits(originals: list[np.ndarray], scale: float = 0.3) -> list[np.ndarray]:
    return [x + e for x, e in zip(originals, videos(99, len(originals), scale=scale), strict=True)]


def test_no_reward_for_pairs():
    """Faint noise on the same videos scores far below the noise floor of FVD, but not below that of sFVD."""
    originals = videos(0, 40)
    pool = videos(1, 80)
    floor = floor_of(pool, FVDI3D()).mean()
    assert distance(FVDI3D(), originals, edits(originals)) < 0.2 * floor
    split_floor = floor_of(pool, SFVDI3D()).mean()
    assert distance(SFVDI3D(), originals, edits(originals)) == pytest.approx(split_floor, rel=0.15)


def test_no_original_is_compared_with_its_own_counterfactual():
    originals, compared = videos(0, 9), []

    def record(real, edited):
        compared.append(({float(x[0, 0]) for x in real}, {float(x[0, 0]) for x in edited}))
        return 1.0

    split_half_distance(originals * 2, originals * 2, named(originals) * 2, record)
    assert len(compared) == 2 * SPLITS
    for real, edited in compared:
        assert not real & edited
        assert sorted((len(real), len(edited))) == [4, 5]
    assert len({frozenset(real) for real, _ in compared}) > SPLITS, "the splits differ"


def test_the_order_of_videos_does_not_matter():
    originals = videos(0, 12)
    changed = edits(originals)
    order = np.random.default_rng(0).permutation(12)
    expected = distance(SFVDI3D(), originals, changed)
    assert distance(SFVDI3D(), [originals[i] for i in order], [changed[i] for i in order]) == pytest.approx(expected)


def test_the_last_digits_of_features_do_not_change_the_splits():
    """Machines differ in the last digits of features; the halves, and so the value, must not."""
    originals = videos(0, 12)
    changed = edits(originals)
    sources = named(originals)
    elsewhere = [np.nextafter(x, np.float32(9)) for x in originals]
    expected = SFVDI3D().distance(originals, changed, sources)
    assert SFVDI3D().distance(elsewhere, changed, sources) == pytest.approx(expected, rel=1e-4)


def test_leaving_a_video_out_changes_little():
    """The splits must stay, or the jackknife would measure the splitting."""
    originals = videos(0, 30, width=3)
    changed = [x + 1 for x in originals]
    whole = distance(SFVDI3D(), originals, changed)
    left_out = [
        distance(SFVDI3D(), originals[:k] + originals[k + 1 :], changed[:k] + changed[k + 1 :]) for k in range(30)
    ]
    others = [
        distance(SFVDI3D(), videos(seed, 30, width=3), [x + 1 for x in videos(seed, 30, width=3)]) for seed in range(10)
    ]
    assert np.std(left_out) < 0.5 * np.std(others)
    assert np.mean(left_out) == pytest.approx(whole, rel=0.2)


def test_each_half_needs_two_videos():
    assert math.isnan(distance(SFVDI3D(), videos(0, 3), videos(1, 3)))
    assert math.isfinite(distance(SFVDI3D(), videos(0, 4), videos(1, 4)))
    with pytest.raises(ValueError, match="shorter"):
        distance(SFVDI3D(), videos(0, 4), videos(1, 3))


def test_features_are_shared_with_the_frechet_distances():
    assert SFIDStVGG().network == FIDStVGG().network
    assert SFVDI3D().network == FVDI3D().network
