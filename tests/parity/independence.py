"""Independence of the order of videos and of the number of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.parity.measurement import Measurement, absolute
from vcfe_bench.metrics.frechet import FVDI3D, FIDStVGG
from vcfe_bench.metrics.kernel import KVDI3D, KIDStVGG
from vcfe_bench.metrics.set_distance import Features
from vcfe_bench.metrics.split_half import SFVDI3D, SFIDStVGG
from vcfe_bench.stats.intervals import Estimate, mean_interval, pairs_interval
from vcfe_bench.stats.set_distances import distance_interval
from vcfe_bench.stats.significance import paired_difference

VIDEOS, SHARDS = 24, (1, 2, 5)
METRICS = (FVDI3D, KVDI3D, SFVDI3D, FIDStVGG, KIDStVGG, SFIDStVGG)


def independence() -> Iterator[Measurement]:
    """Values and intervals of the same videos in other orders and other shards, to the last digit."""
    rng = np.random.default_rng(0)
    for metric in (metric() for metric in METRICS):
        width, rows = metric.extractor.width, 1 if metric.extractor.letter == "V" else 3
        originals = [rng.normal(size=(rows, width)).astype(np.float32) for _ in range(VIDEOS)]
        edits = [video + rng.normal(0.1, 0.5, size=(rows, width)).astype(np.float32) for video in originals]

        def distance(order: np.ndarray, sets: tuple[Features, Features] = (originals, edits)) -> Estimate:
            sides = ([side[i] for i in order] for side in sets)
            return distance_interval(*sides, metric.distance, [f"video {i}" for i in order])  # noqa: B023

        yield _reordered(f"{metric.card.name} and its interval", f"random features, {VIDEOS} videos", distance)
    values = rng.gamma(2.0, size=(2, 60)).tolist()
    names = [f"video {i // 3}" for i in range(60)]
    statistics: dict[str, Callable[..., Estimate]] = {
        "mean and its interval": lambda first, second, names: mean_interval(first, names),
        "paired difference and its interval": paired_difference,
        "statistic of pairs and its interval": lambda first, second, names: pairs_interval(
            first, second, lambda x, y: float(np.sqrt(np.mean((x - y) ** 2))), names
        ),
    }
    for name, statistic in statistics.items():

        def value(order: np.ndarray, statistic: Callable[..., Estimate] = statistic) -> Estimate:
            return statistic(*([side[i] for i in order] for side in (*values, names)))

        yield _reordered(name, "60 values of 20 videos", value)


def _reordered(what: str, on: str, statistic: Callable[[np.ndarray], Estimate]) -> Measurement:
    count = VIDEOS if "features" in on else 60
    whole = statistic(np.arange(count))
    others = [statistic(np.random.default_rng(seed).permutation(count)) for seed in range(2)]
    others += [statistic(np.concatenate([np.arange(count)[s::shards] for s in range(shards)])) for shards in SHARDS]
    differences = [absolute([x.value, x.low, x.high], [whole.value, whole.low, whole.high]) for x in others]
    return Measurement(what, "other orders; 1, 2 and 5 shards", on, max(differences), "absolute", 0)
