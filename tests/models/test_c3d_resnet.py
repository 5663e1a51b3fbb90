from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vcfe_bench.models.c3d_resnet import SIZES, C3DParams, C3DResNet, C3DResNetTarget, C3DSize
from vcfe_bench.weights import CorruptWeights, WeightsUnavailable

TINY = C3DSize((4, 6, 6, 8), (True, False, False, True))


@pytest.fixture(scope="module")
def model() -> C3DResNet:
    torch.manual_seed(0)
    return C3DResNet(TINY, outputs=5).eval().requires_grad_(False)


def _videos(batch: int = 2, frames: int = 7) -> torch.Tensor:
    return torch.rand(batch, frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", SIZES.values())
@pytest.mark.parametrize("fc", [1, 2, 3])
def test_nine_convolutions_and_the_asked_number_of_linear_layers(size, fc):
    with torch.device("meta"):
        layers = list(C3DResNet(size, 8, fc).modules())
    assert sum(isinstance(layer, nn.Conv3d) for layer in layers) == 9
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == fc


def test_the_published_size_keeps_16_frames_and_ends_in_7x7_cells():
    with torch.device("meta"):
        found = C3DResNet(SIZES["c3d_resnet"], 24).features(torch.empty(1, 16, 3, 112, 112))
    assert [tuple(scale.shape) for scale in found.scales] == [(1, 512, 16, 14, 14), (1, 512, 16, 7, 7)]


def test_every_frame_has_its_features(model):
    found = model.features(_videos())
    assert [tuple(scale.shape) for scale in found.scales] == [(2, 8, 7, 8, 8), (2, 8, 7, 4, 4)]
    assert found.steps.tolist() == list(range(7))
    assert all(scale.min() == 0 for scale in found.scales)


@pytest.mark.parametrize("fc", [1, 3])
def test_logits_follow_from_the_coarser_features(fc):
    torch.manual_seed(0)
    model = C3DResNet(TINY, 5, fc).eval()
    videos = _videos()
    found = model.features(videos)
    assert torch.equal(found.output, model(videos))
    torch.testing.assert_close(found.output, model.head(found.scales[1].mean(dim=(2, 3, 4))))
    assert found.output.std() > 1e-3


def test_shortcuts_add_the_pooled_input():
    block = C3DResNet(TINY, 5).last.eval()
    for layer in block.second:
        nn.init.zeros_(layer.weight)
    x = torch.rand(1, 6, 2, 8, 8)
    expected = torch.zeros(1, 8, 2, 4, 4)
    expected[:, :6] = torch.nn.functional.max_pool3d(x, (1, 2, 2))
    torch.testing.assert_close(block(x), expected)


def test_motion_matters(model):
    videos = _videos()
    assert not torch.allclose(model(videos), model(videos[:, torch.tensor([3, 0, 6, 2, 5, 1, 4])]), atol=1e-4)


def _saved(path, fc: int = 1, outputs: int = 8, seed: int = 0) -> str:
    torch.manual_seed(seed)
    save_file(C3DResNet(SIZES["small"], outputs, fc).state_dict(), path)
    return str(path)


def test_the_target_takes_its_outputs_from_the_weights_and_is_frozen(tmp_path):
    fingerprints = set()
    for seed, outputs, fc in ((0, 8, 1), (0, 8, 1), (1, 8, 1), (0, 3, 1), (0, 3, 2)):
        path = _saved(tmp_path / "weights.safetensors", fc, outputs, seed)
        target = C3DResNetTarget(C3DParams(fc=fc, weights=path))
        assert target(torch.rand(1, 3, 3, 32, 32)).shape == (1, outputs)
        assert not target.training
        assert not any(parameter.requires_grad for parameter in target.parameters())
        fingerprints.add(target.fingerprint)
    assert len(fingerprints) == 4


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(WeightsUnavailable, match="train it with 'vcfe-bench train c3d_resnet'"):
        C3DResNetTarget(C3DParams(weights=str(tmp_path / "nowhere.safetensors")))


def test_weights_of_another_network_are_refused(tmp_path):
    path = _saved(tmp_path / "weights.safetensors", fc=2)
    for params in (C3DParams(fc=1, weights=path), C3DParams(fc=2, size="c3d_resnet", weights=path)):
        with pytest.raises(CorruptWeights, match="does not fit C3DResNet"):
            C3DResNetTarget(params)
