from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import WanImageToVideoPipeline

from tests.models import pipelines
from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.wan import Wan
from vcfe_bench.models.wan_experts import WanExperts
from vcfe_bench.training import lora
from vcfe_bench.training.lora import LoRARecipe
from vcfe_datasets.shapes.shape_moving import ShapeMoving, ShapeMovingParams

RECIPE = LoRARecipe(rank=4, steps=8, batch=2, lr=1e-2)


class FewClips(ShapeMoving):
    """Two training videos, so that a few steps suffice to learn from them."""

    def size(self, split):
        return 2


@pytest.fixture(scope="module")
def dataset() -> FewClips:
    return FewClips(ShapeMovingParams(frames=9, size=32))


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("wan")
    pipelines.wan().save_pretrained(directory)
    return directory


def _generator(directory: Path, **settings) -> Wan:
    return Wan(Wan.Params(path=str(directory), dtype="float32", device="cpu", activations="keep", **settings))


def _adapt(directory: Path, dataset, folder: Path, recipe: LoRARecipe = RECIPE) -> tuple[Wan, torch.nn.Module]:
    generator = _generator(directory)
    return generator, lora.train(dataset, generator, folder, recipe, str)


def _adapter(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters() if "lora_" in name}


def _velocity(generator: Wan) -> torch.Tensor:
    shape = (9, 32, 32)
    latent = torch.randn(1, *generator.latent_shape(shape), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        return generator.velocity(latent, 0.6, generator.condition(pipelines.first_frame(), shape))


def test_the_loss_falls_and_the_base_is_unchanged(tmp_path, directory, dataset):
    base = _generator(directory)
    before = lora.held_out_loss(base, dataset, videos=2)
    generator, network = _adapt(directory, dataset, tmp_path, LoRARecipe(rank=4, steps=30, batch=2, lr=2e-2))
    assert lora.held_out_loss(generator, dataset, videos=2) < 0.97 * before
    plain = dict(base.model.transformer.named_parameters())
    for name, parameter in network.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, plain[name.replace(".base_layer", "")])


def test_the_file_loads_back_here_and_in_diffusers(tmp_path, directory, dataset):
    generator, network = _adapt(directory, dataset, tmp_path)
    lora.save(generator, network, tmp_path / "adapter")
    adapted = _velocity(generator)
    assert not torch.allclose(adapted, _velocity(_generator(directory)), atol=1e-4)
    torch.testing.assert_close(_velocity(_generator(directory, lora=str(tmp_path / "adapter"))), adapted)
    pipeline = WanImageToVideoPipeline.from_pretrained(directory)
    pipeline.load_lora_weights(str(tmp_path / "adapter"))
    loaded = {name: p for name, p in pipeline.transformer.named_parameters() if "lora_" in name}
    expected = _adapter(network)
    assert len(loaded) == len(expected) == 2 * 2 * 10
    for (_, mine), (_, theirs) in zip(sorted(expected.items()), sorted(loaded.items()), strict=True):
        assert torch.equal(mine, theirs)


def test_an_interrupted_training_ends_in_the_same_adapter(tmp_path, directory, dataset, monkeypatch):
    _, expected = _adapt(directory, dataset, tmp_path / "whole")
    monkeypatch.setattr(lora.loop, "run", _every(4, lora.loop.run))
    whole, calls = lora.flow_loss, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(lora, "flow_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _adapt(directory, dataset, tmp_path / "parts")
    _, resumed = _adapt(directory, dataset, tmp_path / "parts")
    assert len(calls) == 7 + RECIPE.steps - 4
    for name, parameter in _adapter(expected).items():
        assert torch.equal(parameter, _adapter(resumed)[name])


def _every(steps: int, run):
    """The training loop, writing a checkpoint every ``steps`` steps."""
    return lambda *arguments, **settings: run(*arguments, **{**settings, "every": steps})


def test_a_checkpoint_contains_only_the_adapter(tmp_path, directory, dataset):
    _, network = _adapt(directory, dataset, tmp_path, LoRARecipe(rank=1, steps=2, batch=1))
    stored = torch.load(tmp_path / "lora-0.pt", weights_only=True)["module"]
    assert sum(t.numel() for t in stored.values()) == sum(p.numel() for p in _adapter(network).values())


def test_a_checkpoint_of_another_base_is_refused(tmp_path, directory, dataset):
    short = LoRARecipe(rank=1, steps=2, batch=1)
    _adapt(directory, dataset, tmp_path / "checkpoints", short)
    torch.manual_seed(9)
    pipelines.wan(transformer=pipelines.wan_transformer(ffn_dim=48)).save_pretrained(tmp_path / "other")
    with pytest.raises(UsageError, match="another training"):
        _adapt(tmp_path / "other", dataset, tmp_path / "checkpoints", short)


def test_each_expert_is_trained_on_its_own_noise_levels(tmp_path, dataset, monkeypatch):
    pipelines.wan_experts().save_pretrained(tmp_path)
    generator = WanExperts(WanExperts.Params(path=str(tmp_path), dtype="float32", device="cpu"))
    seen: list[float] = []
    whole = lora.flow_loss

    def listen(generator, dataset, video, sigma, noise):
        seen.extend(sigma.tolist())
        return whole(generator, dataset, video, sigma, noise)

    monkeypatch.setattr(lora, "flow_loss", listen)
    lora.train(dataset, generator, tmp_path, LoRARecipe(rank=1, steps=4, batch=2, network="transformer_2"), str)
    assert max(seen) < 0.9
    seen.clear()
    lora.train(dataset, generator, tmp_path / "high", LoRARecipe(rank=1, steps=4, batch=2), str)
    assert min(seen) >= 0.9
    for name, parameter in generator.model.transformer_2.named_parameters():
        assert ("lora_" in name) >= parameter.requires_grad


@pytest.mark.parametrize(
    ("shape", "recipe", "message"),
    [
        (ShapeMovingParams(frames=9, size=40), RECIPE, "does not fit dataset"),
        (ShapeMovingParams(frames=9, size=32), LoRARecipe(network="transformer_2"), "no network 'transformer_2'"),
    ],
)
def test_unsupported_adaptations_are_refused(tmp_path, directory, shape, recipe, message):
    with pytest.raises(UsageError, match=message):
        lora.train(ShapeMoving(shape), _generator(directory), tmp_path, recipe, str)


def test_levels_are_shifted_logistic_draws_within_bounds():
    draws = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    plain = lora.levels(draws, 1.0, (0.0, 1.0))
    torch.testing.assert_close(plain, torch.sigmoid(draws))
    assert lora.levels(draws, 3.0, (0.0, 1.0)).median() == pytest.approx(0.75, abs=0.03)
    squeezed = lora.levels(draws, 3.0, (0.9, 1.0))
    assert squeezed.min() >= 0.9
    assert squeezed.max() <= 1.0
