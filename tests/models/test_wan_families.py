"""Each published Wan family compared with its own diffusers pipeline, saved and loaded as a pipeline directory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import WanImageToVideoPipeline

from tests.models import pipelines
from tests.models.pipelines import SHAPE, assert_same, overheard
from vcfe_bench.core.errors import UsageError
from vcfe_bench.diffusion import denoise
from vcfe_bench.models.wan import Wan
from vcfe_bench.models.wan_experts import WanExperts
from vcfe_bench.models.wan_ti2v import WanTI2V

FAMILIES = {
    "wan": (pipelines.wan_clip, Wan),
    "wan_experts": (pipelines.wan_experts, WanExperts),
    "wan_ti2v": (pipelines.wan_ti2v, WanTI2V),
}
STEPS = 4


def build(family: str, directory: Path, **changes) -> Wan:
    make, cls = FAMILIES[family]
    make().save_pretrained(directory)
    return cls(cls.Params(path=str(directory), **{"dtype": "float32", "device": "cpu", **changes}))


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory) -> tuple[WanImageToVideoPipeline, Wan]:
    directory = tmp_path_factory.mktemp(request.param)
    generator = build(request.param, directory)
    pipeline = WanImageToVideoPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, generator


def _run(pipeline, noise: torch.Tensor) -> tuple[list, torch.Tensor]:
    networks = {name: net for name in ("transformer", "transformer_2") if (net := getattr(pipeline, name, None))}
    with overheard(**networks) as calls:
        latent = pipeline(
            image=pipelines.picture(),
            prompt="This is a synthetic video",
            height=SHAPE[1],
            width=SHAPE[2],
            num_frames=SHAPE[0],
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            latents=noise,
            output_type="latent",
        ).frames
    return calls, latent


def test_inputs_of_the_transformer_are_those_of_the_pipeline(pair):
    pipeline, generator = pair
    noise = torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(5))
    theirs, result = _run(pipeline, noise)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    sigmas = pipeline.scheduler.sigmas.tolist()
    networks = {name: net for name, net in generator.model.networks().items() if name.startswith("transformer")}
    latent = noise
    assert len(theirs) == STEPS
    for call, (sigma, after) in zip(theirs, pairwise(sigmas), strict=True):
        with torch.no_grad(), overheard(**networks) as ours:
            velocity = generator.velocity(latent, sigma, condition)
        assert_same(ours[0], call)
        latent = latent + (after - sigma) * velocity
    torch.testing.assert_close(generator.constrain(latent, condition), result, rtol=1e-5, atol=1e-6)


def test_denoising_gives_the_result_of_the_pipeline(pair, monkeypatch):
    pipeline, generator = pair
    noise = torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(6))
    _, result = _run(pipeline, noise)
    monkeypatch.setattr(generator, "sigmas", lambda steps: pipeline.scheduler.sigmas.tolist())
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(denoise(generator, noise, condition, STEPS), result, rtol=1e-5, atol=1e-6)


def test_constraints_are_those_of_the_pipelines_grid(pair):
    _, generator = pair
    side = generator.model.vae.config["scale_factor_spatial"] * 2
    assert generator.constraints.violation((9, side, 2 * side)) is None
    assert generator.constraints.violation((10, side, side)) is not None
    assert generator.constraints.violation((9, side // 2, side)) is not None


def test_a_latent_has_the_declared_shape_and_decodes_to_a_video(pair):
    _, generator = pair
    video = torch.rand(2, SHAPE[0], 3, *SHAPE[1:], generator=torch.Generator().manual_seed(7))
    latent = generator.encode(video)
    assert latent.shape == (2, *generator.latent_shape(SHAPE))
    with torch.no_grad():
        assert generator.decode(latent).shape == video.shape


def test_a_first_frame_is_optional_and_has_an_influence(pair):
    _, generator = pair
    latent = torch.randn(2, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        without = generator.velocity(latent, 0.5, generator.condition(None, SHAPE))
        told = generator.velocity(latent, 0.5, generator.condition(pipelines.first_frame(), SHAPE))
    assert without.shape == told.shape == latent.shape
    assert not torch.allclose(without, told, atol=1e-3)


def test_experts_are_chosen_by_the_noise_level(tmp_path):
    generator = build("wan_experts", tmp_path)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    latent = torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(9))
    networks = {"high": generator.model.transformer, "low": generator.model.transformer_2}
    with torch.no_grad(), overheard(**networks) as calls:
        for sigma in (1.0, 0.9, 0.8999, 0.1):
            generator.velocity(latent, sigma, condition)
    assert [name for name, _, _ in calls] == ["high", "high", "low", "low"]
    with pytest.raises(ValueError, match="both sides"):
        generator.model.velocity(latent.expand(2, -1, -1, -1, -1), torch.tensor([0.95, 0.5]), condition)


def test_the_given_frame_of_ti2v_is_kept_and_has_no_gradient(tmp_path):
    generator = build("wan_ti2v", tmp_path)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    noise = torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(9))
    noise.requires_grad_()
    latent = denoise(generator, noise, condition, 2)
    assert torch.equal(latent[:, :, :1], condition)
    (gradient,) = torch.autograd.grad(latent.square().sum(), noise)
    assert (gradient[:, :, 0] == 0).all()
    assert gradient[:, :, 1:].abs().min() > 0


@pytest.mark.parametrize(("family", "name"), [("wan_experts", "wan_experts"), ("wan_ti2v", "wan_ti2v")])
def test_another_family_is_named(tmp_path, family, name):
    FAMILIES[family][0]().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=rf"use {name}\[path="):
        Wan(Wan.Params(path=str(tmp_path)))
