import math

import numpy as np
import pytest

from vcfe_bench.interfaces import SetMetric
from vcfe_bench.metrics.frechet import FVDI3D, FIDStVGG
from vcfe_bench.metrics.split_half import SFVDI3D, SPLITS, SFIDStVGG, split_half_distance
from vcfe_bench.stats.set_distances import distance_interval, real_against_real


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


def test_a_video_that_is_left_out_moves_no_other_one():
    """The splits must stay, or the jackknife would measure the splitting."""
    names = [str(number) for number in range(9)]
    rows = [np.full((1, 1), float(number)) for number in range(9)]
    seen: list[list[set[float]]] = []

    def record(real, edited):
        seen[-1].append({float(row[0, 0]) for row in real})
        return 0.0

    for kept in (range(9), [0, 1, 2, 4, 5, 6, 7, 8]):
        seen.append([])
        split_half_distance(*([rows[i] for i in kept] for _ in range(2)), [names[i] for i in kept], record, among=names)
    assert [half - {3.0} for half in seen[0]] == seen[1]


def test_the_distance_among_all_videos_is_the_distance():
    originals, changed = videos(0, 12), videos(1, 12)
    among = SFVDI3D().distance_among(named(originals))
    assert among(originals, changed, named(originals)) == distance(SFVDI3D(), originals, changed)


@pytest.mark.slow
def test_the_jackknife_interval_covers_the_expected_distance():
    """32 videos, 24 features: 97 %; with halves that change from block to block it was 99 to 100 %."""
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(24, 24)) / np.sqrt(24)
    names = [f"video {number}" for number in range(32)]

    def draw():
        real = rng.normal(size=(32, 24)) @ mixing
        edited = real + 0.5 * rng.normal(size=(32, 24)) @ mixing + 0.15
        return list(real[:, None]), list(edited[:, None])

    metric = SFVDI3D()
    expected = np.mean([metric.distance(*draw(), names) for _ in range(500)])
    estimates = [distance_interval(*draw(), metric.distance_among(names), names, lowest=0.0) for _ in range(200)]
    assert 0.92 <= np.mean([each.low <= expected <= each.high for each in estimates]) <= 0.985


def test_each_half_needs_two_videos():
    assert math.isnan(distance(SFVDI3D(), videos(0, 3), videos(1, 3)))
    assert math.isfinite(distance(SFVDI3D(), videos(0, 4), videos(1, 4)))
    with pytest.raises(ValueError, match="shorter"):
        distance(SFVDI3D(), videos(0, 4), videos(1, 3))


def test_features_are_shared_with_the_frechet_distances():
    assert SFIDStVGG().network == FIDStVGG().network
    assert SFVDI3D().network == FVDI3D().network
