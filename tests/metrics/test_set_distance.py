"""Set metrics are composed of a distance and a feature network."""

from __future__ import annotations

import pickle
from itertools import product

import pytest

from vcfe_bench.metrics.feature_sets import FeatureNetwork, I3DClips, InceptionFrames, StVGGFrames
from vcfe_bench.metrics.frechet import FrechetDistance
from vcfe_bench.metrics.kernel import KernelDistance
from vcfe_bench.metrics.set_distance import SetDistance
from vcfe_bench.metrics.split_half import SplitHalfFrechet
from vcfe_bench.plugins.registry import METRICS

NETWORKS = {"inception": InceptionFrames(), "st_vgg": StVGGFrames(), "i3d": I3DClips()}
DISTANCES = {"f": FrechetDistance, "k": KernelDistance, "sf": SplitHalfFrechet}
SPECS = {
    f"{distance}{network.letter.lower()}d_{name}": (DISTANCES[distance], network)
    for distance, (name, network) in product(DISTANCES, NETWORKS.items())
}


@pytest.mark.parametrize("spec", SPECS)
def test_every_pair_of_distance_and_network_is_a_metric(spec: str) -> None:
    distance, network = SPECS[spec]
    metric = METRICS.build(spec)
    assert isinstance(metric, distance)
    assert metric.network == network.identity
    assert metric.card == distance.describe(network)
    assert pickle.loads(pickle.dumps(metric)).card == metric.card


def test_metric_names_are_those_of_committed_tables() -> None:
    names = [METRICS.build(spec).card.name for spec in SPECS]
    assert names == [
        *("FID(inception)", "FID(st-vgg)", "FVD(i3d)"),
        *("KID(inception)", "KID(st-vgg)", "KVD(i3d)"),
        *("sFID(inception)", "sFID(st-vgg)", "sFVD(i3d)"),
    ]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_covariance_of_every_set_compared_has_full_rank(network: FeatureNetwork) -> None:
    rank = network.width
    assert FrechetDistance.describe(network).min_samples == rank + 1
    assert SplitHalfFrechet.describe(network).min_samples == 2 * (rank + 1)


def test_a_distance_on_a_custom_network() -> None:
    class WideFrames(StVGGFrames):
        label = "wide"
        width = 1000
        viewer = "a wide network"

    class FIDWide(FrechetDistance):
        extractor = WideFrames()

    card = FIDWide().card
    assert card.name == "FID(wide)"
    assert "a wide network" in card.question
    assert "1000 features" in card.failure_modes
    assert issubclass(FIDWide, SetDistance)
