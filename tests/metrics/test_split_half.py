import math

import numpy as np
import pytest

from vcfe_bench.interfaces import SetMetric
from vcfe_bench.metrics.frechet import FVDI3D, FIDStVGG
from vcfe_bench.metrics.split_half import SFVDI3D, SPLITS, SFIDInception, SFIDStVGG
from vcfe_bench.stats.set_distances import real_against_real


def videos(seed: int, count: int, width: int = 30, scale: float = 1.0) -> list[np.ndarray]:
    return list(scale * np.random.default_rng(seed).normal(size=(count, 1, width)).astype(np.float32))


def named(videos: list[np.ndarray]) -> list[str]:
    return [str(video[0, 0]) for video in videos]


def apart(metric: SetMetric, originals: list[np.ndarray], counterfactuals: list[np.ndarray]) -> float:
    return metric.distance(originals, counterfactuals, named(originals))


def floor_of(pool: list[np.ndarray], metric: SetMetric) -> np.ndarray:
    return real_against_real(pool, named(pool), metric.distance)


def edits(originals: list[np.ndarray], scale: float = 0.3) -> list[np.ndarray]:
    return [x + e for x, e in zip(originals, videos(99, len(originals), scale=scale), strict=True)]


def test_no_reward_for_pairs():
    """Faint noise on the same videos looks perfect to FVD, far below its floor; not so between other halves."""
    originals = videos(0, 40)
    pool = videos(1, 80)
    floor = floor_of(pool, FVDI3D()).mean()
    assert apart(FVDI3D(), originals, edits(originals)) < 0.2 * floor
    split_floor = floor_of(pool, SFVDI3D()).mean()
    assert apart(SFVDI3D(), originals, edits(originals)) == pytest.approx(split_floor, rel=0.15)


def test_no_original_meets_its_own_counterfactual(monkeypatch):
    originals, seen = videos(0, 9), []

    def distance(self, real, edited, sources):
        seen.append(({float(x[0, 0]) for x in real}, {float(x[0, 0]) for x in edited}))
        return 1.0

    monkeypatch.setattr(FVDI3D, "distance", distance)
    apart(SFVDI3D(), originals * 2, originals * 2)
    assert len(seen) == 2 * SPLITS
    for real, edited in seen:
        assert not real & edited
        assert sorted((len(real), len(edited))) == [4, 5]
    assert len({frozenset(real) for real, _ in seen}) > SPLITS, "the deals differ"


def test_the_order_of_videos_does_not_matter():
    originals = videos(0, 12)
    changed = edits(originals)
    order = np.random.default_rng(0).permutation(12)
    expected = apart(SFVDI3D(), originals, changed)
    assert apart(SFVDI3D(), [originals[i] for i in order], [changed[i] for i in order]) == pytest.approx(expected)


def test_the_last_digits_of_features_deal_nothing_anew():
    """Other machines compute other last digits: the halves, and so the value, are to stay."""
    originals = videos(0, 12)
    changed = edits(originals)
    sources = named(originals)
    elsewhere = [np.nextafter(x, np.float32(9)) for x in originals]
    expected = SFVDI3D().distance(originals, changed, sources)
    assert SFVDI3D().distance(elsewhere, changed, sources) == pytest.approx(expected, rel=1e-4)


def test_leaving_a_video_out_changes_little():
    """The deals must not be dealt anew, or the jackknife would measure the dealing."""
    originals = videos(0, 30, width=3)
    changed = [x + 1 for x in originals]
    whole = apart(SFVDI3D(), originals, changed)
    left_out = [apart(SFVDI3D(), originals[:k] + originals[k + 1 :], changed[:k] + changed[k + 1 :]) for k in range(30)]
    others = [
        apart(SFVDI3D(), videos(seed, 30, width=3), [x + 1 for x in videos(seed, 30, width=3)]) for seed in range(10)
    ]
    assert np.std(left_out) < 0.5 * np.std(others)
    assert np.mean(left_out) == pytest.approx(whole, rel=0.2)


def test_halves_need_two_videos_each():
    assert math.isnan(apart(SFVDI3D(), videos(0, 3), videos(1, 3)))
    assert math.isfinite(apart(SFVDI3D(), videos(0, 4), videos(1, 4)))
    with pytest.raises(ValueError, match="shorter"):
        apart(SFVDI3D(), videos(0, 4), videos(1, 3))


def test_names_and_networks():
    assert SFIDStVGG().network == FIDStVGG().network
    assert SFVDI3D().network == FVDI3D().network
    assert len({metric.card.name for metric in (SFIDInception, SFIDStVGG, SFVDI3D, FVDI3D, FIDStVGG)}) == 5
