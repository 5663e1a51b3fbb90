from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import CorruptWeights, WeightsUnavailable
from vcfe_bench.models.c3d_resnet import SIZES, C3DConfig, C3DResNet, C3DResNetTarget, C3DSize
from vcfe_bench.models.trained_target import FileParams
from vcfe_bench.models.video_swin import SwinConfig

TINY = C3DSize((4, 6, 6, 8), (True, False, False, True))


@pytest.fixture(scope="module")
def model() -> C3DResNet:
    torch.manual_seed(0)
    return C3DResNet(TINY, outputs=5).eval().requires_grad_(False)


def _videos(batch: int = 2, frames: int = 7) -> torch.Tensor:
    return torch.rand(batch, frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", SIZES.values())
@pytest.mark.parametrize("fc", [1, 2, 3])
def test_nine_convolutions_and_the_requested_number_of_linear_layers(size, fc):
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


def _saved(path, fc: int = 1, classes: str = "abcdefgh", seed: int = 0) -> str:
    torch.manual_seed(seed)
    config = C3DConfig("small", fc, (3, 32, 32), tuple(classes))
    config.write(config.network(), path)
    return str(path)


def test_the_target_is_described_by_its_file_and_frozen(tmp_path):
    fingerprints = set()
    for seed, classes, fc in ((0, "abcdefgh", 1), (0, "abcdefgh", 1), (1, "abcdefgh", 1), (0, "abc", 1), (0, "abc", 2)):
        path = _saved(tmp_path / "weights.safetensors", fc, classes, seed)
        target = C3DResNetTarget(FileParams(path))
        assert target.classes == tuple(classes)
        assert target(torch.rand(1, 3, 3, 32, 32)).shape == (1, len(classes))
        assert not target.training
        assert not any(parameter.requires_grad for parameter in target.parameters())
        fingerprints.add(target.fingerprint)
    assert len(fingerprints) == 4


def test_missing_weights_are_reported_with_the_command_that_writes_them(tmp_path):
    with pytest.raises(WeightsUnavailable, match="'vcfe-bench train c3d_resnet' writes such a file"):
        C3DResNetTarget(FileParams(str(tmp_path / "nowhere.safetensors")))
    with pytest.raises(UsageError, match=r"give a file .* c3d_resnet\[weights=FILE\]"):
        C3DResNetTarget()


def test_files_of_other_networks_are_refused(tmp_path):
    swin = tmp_path / "swin.safetensors"
    config = SwinConfig("mini", (17, 64, 64), 8, 2, ("a", "b"))
    config.write(config.network(), swin)
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(1)}, bare)
    for path in (swin, bare):
        with pytest.raises(UsageError, match="does not say which network it is for"):
            C3DResNetTarget(FileParams(str(path)))
    lying = tmp_path / "lying.safetensors"
    C3DConfig("small", 2, (3, 32, 32), ("a", "b")).write(
        C3DConfig("small", 1, (3, 32, 32), ("a", "b")).network(), lying
    )
    with pytest.raises(CorruptWeights, match="does not fit C3DResNet"):
        C3DResNetTarget(FileParams(str(lying)))
