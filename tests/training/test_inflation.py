from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.swin_transformer import SwinTransformer

from vcfe_bench.core.weights import CorruptWeights, WeightsUnavailable
from vcfe_bench.models.video_swin import IMAGENET_MEAN, IMAGENET_STD, SIZES, VideoSwin
from vcfe_bench.training import target
from vcfe_bench.training.inflation import imagenet, inflate
from vcfe_bench.training.target import TargetRecipe
from vcfe_datasets.shapes.shape_moving import ShapeMoving, ShapeMovingParams

RECIPE = TargetRecipe(length=4, steps=1, batch=2, imagenet=True)


def image_swin(width: int = 24) -> SwinTransformer:
    """An image network with the widths of the smallest video network and position tables far from zero."""
    torch.manual_seed(0)
    network = SwinTransformer([4, 4], width, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=3)
    for name, parameter in network.named_parameters():
        if name.endswith("relative_position_bias_table"):
            torch.nn.init.normal_(parameter)
    return network.eval()


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """An empty cache of weights."""
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


@pytest.mark.parametrize("length", [8, 16])
def test_a_static_video_gives_the_output_of_the_image_network(length):
    image = image_swin()
    video = VideoSwin(SIZES["mini"], 3, length, 1).eval()
    inflate(image.state_dict(), video.network)
    video.network.head.load_state_dict(image.head.state_dict())
    frames = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = image((frames - mean) / std)
    assert expected.std() > 0.01
    torch.testing.assert_close(video(frames[:, None].expand(-1, length, -1, -1, -1)), expected, atol=1e-5, rtol=1e-4)


def test_the_head_is_not_initialised():
    video = VideoSwin(SIZES["mini"], 5, 4, 1)
    before = video.network.head.weight.clone()
    inflate(image_swin().state_dict(), video.network)
    assert torch.equal(video.network.head.weight, before)


def test_an_image_network_of_other_widths_is_refused():
    with pytest.raises(CorruptWeights, match="other widths"):
        inflate(image_swin(width=12).state_dict(), VideoSwin(SIZES["mini"], 3, 4, 1).network)


def test_weights_come_only_from_the_cache(no_cache):
    with pytest.raises(
        WeightsUnavailable, match=r"swin_t-704ceda3.pth is not in .*cache: it can be downloaded from https://"
    ):
        imagenet("swin3d_t")
    with pytest.raises(WeightsUnavailable, match="no ImageNet weights for the size 'mini'"):
        imagenet("mini")
    no_cache.mkdir()
    (no_cache / "swin_t-704ceda3.pth").write_bytes(b"something else")
    with pytest.raises(CorruptWeights, match=r"SHA-256 .* so it is damaged or another version"):
        imagenet("swin3d_t")


def test_training_starts_from_them_with_a_lower_learning_rate(tmp_path, monkeypatch):
    dataset, state = ShapeMoving(ShapeMovingParams(frames=9, size=32)), image_swin().state_dict()
    monkeypatch.setattr(target, "imagenet", lambda size: state)
    start = VideoSwin(SIZES["mini"], 4, 4, 2)
    inflate(state, start.network)
    trained = target.train(dataset, tmp_path / "fast", replace(RECIPE, lr=1e-2), str)
    still = target.train(dataset, tmp_path / "slow", replace(RECIPE, lr=0), str)
    body = {name: p for name, p in start.named_parameters() if ".head." not in name}
    for name, parameter in still.named_parameters():
        assert name not in body or torch.equal(parameter, body[name])
    moved = {
        name: float((a - b).abs().max())
        for (name, a), b in zip(trained.named_parameters(), still.parameters(), strict=True)
    }
    fastest = max(moved[name] for name in body)
    assert fastest == pytest.approx(0.1 * moved["network.head.weight"], rel=0.1)


def test_without_them_training_starts_from_scratch_and_says_so(tmp_path, no_cache):
    dataset, lines = ShapeMoving(ShapeMovingParams(frames=9, size=32)), []
    asked = target.train(dataset, tmp_path / "a", RECIPE, lines.append)
    plain = target.train(dataset, tmp_path / "b", replace(RECIPE, imagenet=False), str)
    assert lines[0].startswith("training starts without ImageNet weights: ")
    for a, b in zip(asked.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
