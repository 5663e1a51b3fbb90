"""Miniature versions of the recipes, from the first step to a usable model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from safetensors.torch import save_file

from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Dataset, Sample, Split, Values
from vcfe_bench.models.trained_target import FileParams
from vcfe_bench.models.video_swin import MSwin, MSwinParams, VideoSwinTarget
from vcfe_bench.models.wan import Wan, WanModel, WanParams, save_halved
from vcfe_bench.training import muon, target, transformer, vae
from vcfe_bench.training.data import clips
from vcfe_bench.training.target import TargetRecipe
from vcfe_bench.training.transformer import TransformerRecipe
from vcfe_bench.training.vae import VAERecipe
from vcfe_datasets.shapes.shape_crowd import ShapeCrowd
from vcfe_datasets.shapes.shape_moving import ShapeMoving, ShapeMovingParams

pytestmark = pytest.mark.slow

VAE = VAERecipe(channels=8, latent_channels=4, patch=2, phases=((2, 2, 1), (3, 2, 5), (2, 2, 9)))
TRANSFORMER = TransformerRecipe(
    heads=2, head_width=12, layers=2, feed_forward=32, text_width=8, steps=3, batch=2, pool=8
)


def _quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def dataset() -> ShapeMoving:
    return ShapeMoving(ShapeMovingParams(frames=9, size=32))


@pytest.fixture(scope="module")
def autoencoder(dataset, tmp_path_factory) -> AutoencoderKLWan:
    return vae.train([dataset], tmp_path_factory.mktemp("vae"), VAE, _quiet)


@pytest.fixture(scope="module")
def model(dataset, autoencoder, tmp_path_factory) -> WanModel:
    return transformer.train(dataset, autoencoder, tmp_path_factory.mktemp("transformer"), TRANSFORMER, _quiet)


def _same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_clips_are_consecutive_frames_of_training_videos(dataset):
    found = clips(dataset, np.random.default_rng(0), batch=3, frames=5)
    rng = np.random.default_rng(0)
    assert found.shape == (3, 5, 3, 32, 32)
    for clip, index in zip(found, rng.integers(dataset.size("train"), size=3), strict=True):
        video = dataset.sample("train", int(index)).video
        assert any(torch.equal(clip, video[start : start + 5]) for start in range(5))


def test_a_trained_target_is_read_by_video_swin_and_by_m_swin(tmp_path):
    recipe = TargetRecipe(steps=3, batch=2)
    trained = target.train(ShapeMoving(), tmp_path, recipe, _quiet)
    path = tmp_path / "m_swin.safetensors"
    recipe.config(ShapeMoving()).write(trained, path)
    videos = torch.rand(2, 17, 3, 64, 64)
    named = VideoSwinTarget(FileParams(weights=str(path)))
    assert (named.classes, named.clip) == (ShapeMoving.classes, (17, 64, 64))
    for read in (named, MSwin(MSwinParams(weights=str(path)))):
        assert torch.equal(read(videos), trained(videos))
    assert not any(parameter.requires_grad for parameter in trained.parameters())


class _Places(Dataset):
    """Eight videos of Shape-Moving as a regression task: the label is the object's initial position."""

    shape = (17, 64, 64)
    values = Values(16, 48, 8, 2, "1/64 of the side")

    def size(self, split: Split) -> int:
        return 8

    def sample(self, split: Split, index: int) -> Sample:
        sample = ShapeMoving().sample(split, index)
        return replace(sample, label=sample.attributes["x"])


def test_a_regressor_learns_values_in_their_unit(tmp_path):
    recipe = TargetRecipe(steps=120, batch=8)
    untrained = target.train(_Places(), tmp_path / "none", replace(recipe, steps=1), _quiet)
    trained = target.train(_Places(), tmp_path / "some", recipe, _quiet)
    clips = [(s.video, s.label) for s in (_Places().sample("train", index) for index in range(8))]
    videos, labels = torch.stack([c[0] for c in clips]), torch.tensor([c[1] for c in clips])
    before, after = ((model(videos)[:, 0] - labels).abs().mean() for model in (untrained, trained))
    assert after < 4 < before


def test_a_regressor_becomes_invariant_to_a_generators_round_trip(model, tmp_path):
    model.save(tmp_path / "wan")
    spec = f"wan[path={tmp_path / 'wan'},dtype=float32,device=cpu]"
    recipe = TargetRecipe(steps=90, batch=8)
    plain, blind = (
        target.train(_Places(), tmp_path / f"{len(generator)}", replace(recipe, generator=generator), _quiet)
        for generator in ("", spec)
    )
    videos = torch.stack([_Places().sample("train", index).video for index in range(8)])
    again = model.decode(model.encode(videos)).clamp(0, 1)
    seen, unseen = (float((network(videos) - network(again)).square().mean()) for network in (plain, blind))
    assert unseen < 0.5 * seen


def test_round_trips_are_refused_for_classifiers(tmp_path):
    with pytest.raises(UsageError, match="--generator is for regressors, but dataset '' has classes"):
        target.train(ShapeMoving(), tmp_path, TargetRecipe(generator="wan_shape_moving"), _quiet)


def test_an_adversary_attacks_every_clip(tmp_path):
    recipe = TargetRecipe(steps=2, batch=6)
    weak, strong = (
        target.train(ShapeMoving(), tmp_path / size, replace(recipe, adversary=f"pgd[epsilon={size},steps=2]"), _quiet)
        for size in ("0.0001", "200")
    )
    plain = target.train(ShapeMoving(), tmp_path / "plain", recipe, _quiet)
    distance = [
        max(float((a - b).abs().max()) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
        for model in (weak, strong)
    ]
    assert distance[0] < 0.1 * distance[1]


def test_the_attack_grows_linearly(monkeypatch, tmp_path):
    sizes = []
    whole = target._attacked

    def attacked(adversary, size, model, dataset, clips, drawn):
        full, part = (whole(adversary, share, model, dataset, clips, drawn) for share in (1.0, size))
        change, full_change = (
            torch.stack([new - old for (new, _), (old, _) in zip(found, clips, strict=True)]) for found in (part, full)
        )
        torch.testing.assert_close(change, size * full_change)
        sizes.append(size)
        return part

    monkeypatch.setattr(target, "_attacked", attacked)
    recipe = TargetRecipe(steps=4, batch=2, adversary="pgd[steps=1]", ramp=0.75)
    target.train(ShapeMoving(), tmp_path, recipe, _quiet)
    assert sizes == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_training_starts_from_given_weights(tmp_path):
    recipe = TargetRecipe(steps=2, batch=2)
    first = target.train(ShapeMoving(), tmp_path / "first", recipe, _quiet)
    path = tmp_path / "start.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in first.state_dict().items()}, path)
    second = target.train(ShapeMoving(), tmp_path / "second", replace(recipe, lr=1e-12, start=str(path)), _quiet)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_for_other_classes_training_starts_with_a_new_head(tmp_path):
    recipe = TargetRecipe(steps=2, batch=2)
    first = target.train(ShapeMoving(), tmp_path / "first", recipe, _quiet)
    path = tmp_path / "start.safetensors"
    recipe.config(ShapeMoving()).write(first, path)
    second = target.train(ShapeCrowd(), tmp_path / "second", replace(recipe, lr=1e-12, start=str(path)), _quiet)
    own, given = second.state_dict(), first.state_dict()
    assert own["network.head.weight"].shape[0] == 8
    for name in own.keys() - {"network.head.weight", "network.head.bias"}:
        torch.testing.assert_close(own[name], given[name], rtol=0, atol=1e-6)


def test_adversaries_are_refused_for_regressors(tmp_path):
    with pytest.raises(UsageError, match="attacks classifiers, but the labels of dataset '' are values"):
        target.train(_Places(), tmp_path, TargetRecipe(adversary="pgd"), _quiet)


def test_latents_have_zero_mean_and_unit_deviation(dataset, model):
    videos = torch.stack([dataset.sample("validation", index).video for index in range(64)])
    latent = model.encode(videos).transpose(0, 1).flatten(1)
    torch.testing.assert_close(latent.mean(1), torch.zeros(4), atol=0.3, rtol=0)
    torch.testing.assert_close(latent.std(1), torch.ones(4), atol=0.3, rtol=0)


def test_a_saved_model_is_read_by_wan(dataset, model, tmp_path):
    model.save(tmp_path)
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    for name in ("latents_mean", "latents_std"):
        assert config[name] == model.vae.config[name] != [float(name == "latents_std")] * 4
    wan = Wan(WanParams(path=str(tmp_path), dtype="float32", device="cpu"))
    assert wan.latent_shape(dataset.shape) == (4, 3, 4, 4)
    assert wan.constraints.violation(dataset.shape) is None
    video = dataset.sample("validation", 0).video[None]
    torch.testing.assert_close(wan.encode(video), model.encode(video), rtol=0.02, atol=0.02)
    noise = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    velocities = [m.velocity(noise, 0.7, m.condition(video[:, 0], dataset.shape)) for m in (wan, model)]
    torch.testing.assert_close(*velocities, rtol=0.02, atol=0.02)
    assert torch.equal(wan.model.prompt, model.prompt)


def test_clips_are_encoded_once(dataset, autoencoder, tmp_path):
    lines: list[str] = []
    first = transformer.train(dataset, autoencoder, tmp_path, TRANSFORMER, lines.append)
    again = transformer.train(dataset, autoencoder, tmp_path, TRANSFORMER, lines.append)
    assert _same(first.transformer, again.transformer)
    assert sum("encoded" in line for line in lines) == 1
    (file,) = tmp_path.glob("latents-*.pt")
    pool = torch.load(file)
    assert pool["latent"].shape == (8, 4, 3, 4, 4)
    assert pool["condition"].shape == (8, 8, 3, 4, 4)


def test_training_starts_from_another_models_weights(dataset, autoencoder, model, tmp_path):
    """With a learning rate of zero, the result equals the initial weights where both have them."""
    still = replace(VAE, lr=0.0, channels=99)
    again = vae.train([dataset], tmp_path, still, _quiet, start=autoencoder)
    assert _same(again, autoencoder)
    assert again is not autoencoder
    unmoved = transformer.train(dataset, again, tmp_path, replace(TRANSFORMER, lr=0.0), _quiet, start=model)
    assert _same(unmoved.transformer, model.transformer)
    assert torch.equal(unmoved.prompt, model.prompt)
    finer = vae.build(replace(VAE, patch=1))
    other = transformer.train(dataset, finer, tmp_path / "other", replace(TRANSFORMER, lr=0.0), _quiet, start=model)
    assert _same(other.transformer.blocks, model.transformer.blocks)
    assert other.transformer.config["patch_size"] == (1, 2, 2)
    moved = transformer.train(dataset, again, tmp_path / "moved", TRANSFORMER, _quiet, start=model)
    assert not _same(moved.transformer, model.transformer)
    with pytest.raises(UsageError, match="belongs to another training"):
        transformer.train(dataset, again, tmp_path / "moved", TRANSFORMER, _quiet)


def test_flow_loss_falls_on_a_repeated_batch(dataset, autoencoder):
    untrained = transformer.build(TRANSFORMER, autoencoder)
    generator = torch.Generator().manual_seed(0)
    latent, noise = (torch.randn(4, 4, 3, 4, 4, generator=generator) for _ in range(2))
    sigma = torch.tensor([0.2, 0.5, 0.8, 1.0])
    condition = untrained.condition(torch.rand(4, 3, 32, 32, generator=generator), dataset.shape).latent
    optimizer = torch.optim.AdamW(untrained.transformer.parameters(), lr=1e-2)
    values = []
    for _ in range(30):
        loss = transformer.flow_loss(untrained, latent, condition, sigma, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]


def test_blind_training_never_sees_a_first_frame(dataset, autoencoder, tmp_path):
    def train(folder: Path, blind: float, forget: bool) -> torch.nn.Module:
        recipe = replace(TRANSFORMER, blind=blind)
        pool = transformer.encode_pool(transformer.build(recipe, autoencoder), dataset, recipe.pool, folder, _quiet)
        if forget:
            (file,) = folder.glob("latents-*.pt")
            torch.save({**pool, "condition": torch.zeros_like(pool["condition"])}, file)
        return transformer.train(dataset, autoencoder, folder, recipe, _quiet).transformer

    results = {}
    for blind in (0.0, 1.0):
        for forget in (False, True):
            folder = tmp_path / f"{blind}-{forget}"
            folder.mkdir()
            results[blind, forget] = train(folder, blind, forget)
    assert _same(results[1.0, False], results[1.0, True])
    assert not _same(results[0.0, False], results[0.0, True])


class _FewClips(ShapeMoving):
    """Three training videos."""

    def size(self, split: Split) -> int:
        return 3


def test_few_and_short_videos_are_enough(tmp_path):
    few = _FewClips(ShapeMovingParams(frames=9, size=32))
    autoencoder = vae.train([few], tmp_path, replace(VAE, phases=((1, 2, 1), (1, 2, 17))), _quiet)
    transformer.train(few, autoencoder, tmp_path, replace(TRANSFORMER, pool=100), _quiet)
    (file,) = tmp_path.glob("latents-*.pt")
    assert torch.load(file)["latent"].shape == (3, 4, 3, 4, 4)


def test_an_autoencoder_is_trained_on_several_datasets(dataset, tmp_path):
    """The same steps on one of them alone give other weights; videos of another shape are refused."""
    other = ShapeMoving(ShapeMovingParams(frames=9, size=32, seed=1))
    both = vae.train([dataset, other], tmp_path / "both", VAE, _quiet)
    assert not _same(both, vae.train([other], tmp_path / "other", VAE, _quiet))
    assert not _same(both, vae.train([dataset], tmp_path / "one", VAE, _quiet))
    with pytest.raises(UsageError, match="videos of one shape"):
        vae.train([dataset, ShapeMoving()], tmp_path / "none", VAE, _quiet)


def test_a_decoder_is_trained_alone(dataset, autoencoder, tmp_path):
    further = vae.train([dataset], tmp_path, VAE, _quiet, start=autoencoder, decoder_only=True)
    assert _same(further.encoder, autoencoder.encoder)
    assert _same(further.quant_conv, autoencoder.quant_conv)
    assert not _same(further.decoder, autoencoder.decoder)
    assert further.config["latents_mean"] == autoencoder.config["latents_mean"]


def test_kernels_become_matrices_and_back():
    network = vae.build(VAE)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    matrices = muon.as_matrices(network)
    assert matrices
    assert all(matrix.ndim == 2 for matrix in matrices)
    assert before.keys() != network.state_dict().keys()
    muon.as_kernels(network)
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in before.items())


def test_a_written_autoencoder_is_read(autoencoder, tmp_path):
    save_halved(autoencoder, tmp_path / "vae")
    again = vae.read(tmp_path / "vae")
    assert again.state_dict().keys() == autoencoder.state_dict().keys()
    for name, tensor in autoencoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    with pytest.raises(UsageError, match="contains no autoencoder"):
        vae.read(tmp_path)


@pytest.mark.parametrize("steps", [1, 2, 11, 3300, 6600])
def test_phases_keep_their_proportions(steps):
    phases = VAERecipe().of(steps).phases
    assert sum(length for length, _, _ in phases) == steps
    assert [rest for _, *rest in phases] == [[8, 5], [4, 9], [4, 17]]
    shares = [length / steps for length, _, _ in phases]
    assert shares == pytest.approx([850 / 1600, 450 / 1600, 300 / 1600], abs=1 / steps)


@pytest.mark.parametrize(
    ("shape", "message"), [({"frames": 10, "size": 32}, "4k\\+1 frames"), ({"frames": 9, "size": 36}, "multiples of 8")]
)
def test_videos_that_no_generator_supports_are_refused(tmp_path, shape, message):
    with pytest.raises(UsageError, match=f"a generator cannot be trained on dataset .*{message}"):
        vae.train([ShapeMoving(ShapeMovingParams(**shape))], tmp_path, VAE, _quiet)
