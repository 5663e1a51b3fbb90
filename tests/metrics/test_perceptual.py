import math

import lpips
import pytest
import torch

from tests.metrics.conftest import noise
from vcfe_bench.core.weights import Weights
from vcfe_bench.metrics import perceptual
from vcfe_bench.metrics.perceptual import LPIPSVGG, LPIPSAlex, LPIPSStAlex
from vcfe_bench.models import feature_networks


@pytest.fixture
def fresh():
    """No network cached before and after a test."""
    for cached in (feature_networks.lpips_alex, feature_networks.lpips_vgg):
        cached.cache_clear()
    yield
    for cached in (feature_networks.lpips_alex, feature_networks.lpips_vgg):
        cached.cache_clear()


@pytest.fixture(params=["alex", pytest.param("vgg", marks=pytest.mark.slow)])
def backbone(request):
    return request.param


@pytest.fixture
def reference(fresh, backbone, tmp_path, monkeypatch):
    """The lpips package's own distance on a random backbone, whose weights replace the canonical ones."""
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="deprecated"):
        network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    features = {f"features.{name.split('.', 1)[1]}": tensor for name, tensor in network.net.state_dict().items()}
    torch.save({**features, "classifier.6.bias": torch.zeros(1000)}, tmp_path / "backbone.pth")
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path))
    name = {"alex": "ALEXNET", "vgg": "VGG16"}[backbone]
    monkeypatch.setattr(feature_networks, name, Weights("backbone.pth", ""))
    return network


def test_canonical_lpips_is_that_of_the_package(case, reference, backbone, monkeypatch):
    monkeypatch.setattr(perceptual, "BATCH", 2)
    a, b = noise(0, 5, 3, 64, 64), noise(1, 5, 3, 64, 64)
    expected = reference(2 * a - 1, 2 * b - 1).mean().item()
    metric = {"alex": LPIPSAlex, "vgg": LPIPSVGG}[backbone]()
    assert metric.score(case(a, b)) == pytest.approx(expected, rel=1e-5)
    assert reference(a, b).mean().item() != pytest.approx(
        expected, rel=1e-2
    )  # the package itself accepts the wrong range


def test_missing_weights_are_reported_in_one_line(fresh, silent, monkeypatch, tmp_path):
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_networks, "ALEXNET", Weights("a.pth", "00", url=(tmp_path / "no.pth").as_uri()))
    reason = LPIPSAlex().unavailable(silent)
    assert "a.pth is missing" in reason
    assert "\n" not in reason


def test_shift_tolerant_lpips_has_the_published_values(case):
    ramp = torch.arange(64) / 63
    a = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).T, torch.full((64, 64), 0.25)])
    b = a.roll(8, dims=2)
    assert LPIPSStAlex().score(case(a[None], b[None])) == pytest.approx(0.22780959, rel=1e-4)


def test_shift_tolerant_lpips_is_a_repeatable_mean_over_frames(case):
    a, b = noise(0, 3, 3, 40, 40), noise(1, 3, 3, 40, 40)
    metric = LPIPSStAlex()
    singles = [metric.score(case(a[[t]], b[[t]])) for t in range(3)]
    assert metric.score(case(a, b)) == pytest.approx(sum(singles) / 3, rel=1e-4)
    assert metric.score(case(a, b)) == metric.score(case(a, b))
    assert metric.score(case(a, a)) == 0.0


def test_shift_tolerant_lpips_is_available_and_checks_its_input(case, silent, silent_of):
    assert LPIPSStAlex().unavailable(silent) is None
    assert "32 pixels" in LPIPSStAlex().unavailable(silent_of((9, 64, 16)))
    assert math.isnan(LPIPSStAlex().score(case(counterfactual=torch.full((3, 3, 32, 32), math.nan))))
