from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import CorruptWeights
from vcfe_bench.models.trained_target import FileParams
from vcfe_bench.models.video_swin import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIZES,
    MSwin,
    MSwinParams,
    SwinConfig,
    SwinSize,
    VideoSwin,
    VideoSwinTarget,
)

TINY = SwinSize(12, (2, 2), (2, 4), window=(2, 4, 4), stochastic_depth=0.0)


@pytest.fixture(scope="module")
def model() -> VideoSwin:
    torch.manual_seed(0)
    return VideoSwin(TINY, outputs=3, length=4, stride=2).eval().requires_grad_(False)


def _videos(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 9, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_only_every_second_frame_is_read(model):
    videos = _videos().requires_grad_()
    output = model(videos)
    (gradient,) = torch.autograd.grad(output.square().sum(), videos)
    read = gradient.abs().amax(dim=(0, 2, 3, 4)) > 0
    assert read.tolist() == [True, False, True, False, True, False, True, False, False]
    changed = torch.where(read.view(-1, 1, 1, 1), videos, 1 - videos)
    assert torch.equal(model(changed), output)


def test_normalisation_happens_inside(model):
    seen = []
    handle = model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor(IMAGENET_MEAN).view(3, 1, 1).expand(1, 9, 3, 32, 32))
    model(torch.tensor(IMAGENET_MEAN).add(torch.tensor(IMAGENET_STD)).view(3, 1, 1).expand(1, 9, 3, 32, 32))
    handle.remove()
    assert [clip.shape for clip in seen] == [(1, 3, 4, 32, 32)] * 2
    torch.testing.assert_close(torch.cat(seen).mean(dim=(1, 2, 3, 4)), torch.tensor([0.0, 1.0]))


def test_an_output_does_not_depend_on_the_rest_of_the_batch(model):
    videos = _videos(4)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(model(videos)[order], model(videos[order]))


def test_features_are_those_of_the_last_two_stages_and_give_the_output(model):
    videos = _videos()
    found = model.features(videos)
    assert [tuple(scale.shape) for scale in found.scales] == [(2, 12, 2, 8, 8), (2, 24, 2, 4, 4)]
    torch.testing.assert_close(found.output, model(videos))
    torch.testing.assert_close(found.output, model.network.head(found.scales[1].mean(dim=(2, 3, 4))))


def test_the_features_of_a_regressor_give_its_value():
    model = VideoSwin(TINY, outputs=1, length=4, stride=2, limits=(10.0, 90.0)).eval()
    torch.testing.assert_close(model.features(_videos()).output, model(_videos()))


@pytest.mark.parametrize(
    ("length", "stride", "steps"), [(4, 2, [0] * 4 + [1] * 5), (8, 1, [0, 0, 1, 1, 2, 2, 3, 3, 3])]
)
def test_each_frame_belongs_to_a_step_of_the_features(length, stride, steps):
    model = VideoSwin(TINY, outputs=3, length=length, stride=stride).eval()
    found = model.features(_videos())
    assert found.steps.tolist() == steps
    assert max(steps) + 1 == found.scales[0].shape[2]


def test_the_state_dictionary_contains_only_weights(model):
    assert all(name.startswith("network.") for name in model.state_dict())


def test_the_published_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = VideoSwin(SIZES["swin3d_t"], outputs=400, length=32, stride=2)
    assert sum(parameter.numel() for parameter in model.parameters()) == 28_158_070


def test_a_corrupt_file_is_refused(tmp_path, model):
    path = tmp_path / "m_swin.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(CorruptWeights, match="cannot be read"):
        MSwin(MSwinParams(weights=str(path)))


def test_weights_of_another_network_are_refused(tmp_path, model):
    path = tmp_path / "m_swin.pt"
    torch.save(model.state_dict(), path)
    with pytest.raises(CorruptWeights, match="does not fit VideoSwin"):
        MSwin(MSwinParams(weights=str(path)))


def test_m_swin_is_frozen_and_its_fingerprint_depends_on_its_weights(tmp_path):
    fingerprints = set()
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        path = tmp_path / "weights.pt"
        torch.save(VideoSwin(SIZES["mini"], outputs=4, length=8, stride=2).state_dict(), path)
        target = MSwin(MSwinParams(weights=str(path)))
        assert not target.training
        assert not any(parameter.requires_grad for parameter in target.parameters())
        fingerprints.add(target.fingerprint)
    assert len(fingerprints) == 2
    assert target(torch.rand(1, 17, 3, 64, 64)).shape == (1, 4)


CLASSIFIER = SwinConfig("mini", (9, 32, 32), length=4, stride=2, classes=("a", "b"))
REGRESSOR = SwinConfig("mini", (9, 32, 32), length=4, stride=2, limits=(10.0, 80.0))


def _saved(path: Path, config: SwinConfig) -> VideoSwin:
    torch.manual_seed(0)
    model = config.network().eval()
    config.write(model, path)
    return model


@pytest.mark.parametrize("config", [CLASSIFIER, REGRESSOR])
def test_a_file_describes_its_network(tmp_path, config):
    path = tmp_path / "new" / "target.safetensors"
    model = _saved(path, config)
    target = VideoSwinTarget(FileParams(weights=str(path)))
    assert (target.config, target.classes, target.clip) == (config, config.classes, config.clip)
    assert torch.equal(target(_videos()), model(_videos()))
    assert torch.equal(target.features(_videos()).output, model.features(_videos()).output)
    assert not target.training
    assert not any(parameter.requires_grad for parameter in target.parameters())


def test_the_fingerprint_depends_on_weights_and_configuration(tmp_path):
    configs = [CLASSIFIER, CLASSIFIER, replace(CLASSIFIER, stride=1), replace(CLASSIFIER, classes=("a", "c"))]
    fingerprints = []
    for number, config in enumerate(configs):
        _saved(tmp_path / f"{number}.safetensors", config)
        fingerprints.append(VideoSwinTarget(FileParams(str(tmp_path / f"{number}.safetensors"))).fingerprint)
    assert len(set(fingerprints)) == 3
    other = CLASSIFIER.network()
    CLASSIFIER.write(other, tmp_path / "other.safetensors")
    assert VideoSwinTarget(FileParams(str(tmp_path / "other.safetensors"))).fingerprint not in fingerprints


def test_files_not_written_by_training_are_refused(tmp_path, model):
    with pytest.raises(UsageError, match=r"give a file that .* wrote: video_swin\[weights=FILE\]"):
        VideoSwinTarget()
    path = tmp_path / "target.safetensors"
    with pytest.raises(UsageError, match=r"target.safetensors is missing"):
        VideoSwinTarget(FileParams(weights=str(path)))
    path.write_bytes(b"no weights")
    with pytest.raises(UsageError, match=r"cannot read .*target.safetensors"):
        VideoSwinTarget(FileParams(weights=str(path)))
    save_file(model.state_dict(), path)
    with pytest.raises(UsageError, match="does not say which network it is for"):
        VideoSwinTarget(FileParams(weights=str(path)))
    CLASSIFIER.write(model, path)
    with pytest.raises(CorruptWeights, match="does not fit VideoSwin"):
        VideoSwinTarget(FileParams(weights=str(path)))


def test_a_video_shorter_than_the_clip_is_refused(model):
    assert model(torch.rand(1, 7, 3, 32, 32)).shape == (1, 3)
    with pytest.raises(UsageError, match="reads 7 frames, the video has 6"):
        model(torch.rand(1, 6, 3, 32, 32))
