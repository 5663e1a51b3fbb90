from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import CogVideoXImageToVideoPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.models import pipelines
from tests.models.pipelines import SHAPE, assert_same, overheard
from vcfe_bench.core.errors import UsageError
from vcfe_bench.diffusion import denoise
from vcfe_bench.models.cogvideox import CogVideoX, decode_in_chunks
from vcfe_bench.models.latent_video import LatentVideoParams, kept, recomputed

STEPS = 5


@pytest.fixture(scope="module", params=["1.0", "1.5"])
def pair(request, tmp_path_factory) -> tuple[CogVideoXImageToVideoPipeline, CogVideoX]:
    directory = tmp_path_factory.mktemp("cogvideox")
    pipelines.cogvideox(request.param).save_pretrained(directory)
    pipeline = CogVideoXImageToVideoPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, CogVideoX(LatentVideoParams(path=str(directory), dtype="float32", device="cpu"))


@pytest.fixture
def run(pair, monkeypatch):
    """Inputs of the pipeline's transformer and its final latent, for a noise in its own layout."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())

    def run(noise: torch.Tensor) -> tuple[list, torch.Tensor]:
        with overheard(transformer=pair[0].transformer) as calls:
            latent = pair[0](
                image=pipelines.picture(),
                prompt="This is a synthetic video",
                height=SHAPE[1],
                width=SHAPE[2],
                num_frames=SHAPE[0],
                num_inference_steps=STEPS,
                guidance_scale=1.0,
                max_sequence_length=12,
                latents=noise.transpose(1, 2),
                output_type="latent",
            ).frames
        return calls, latent.transpose(1, 2)

    return run


def _noise(generator: CogVideoX) -> torch.Tensor:
    return torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(5))


def test_inputs_of_the_first_step_are_those_of_the_pipeline(pair, run):
    generator = pair[1]
    noise = _noise(generator)
    theirs, _ = run(noise)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    with torch.no_grad(), overheard(transformer=generator.model.transformer) as ours:
        generator.velocity(noise, 1.0, condition)
    assert_same(ours[0], theirs[0])


def test_condition_and_time_of_every_step_are_those_of_the_pipeline(pair, run):
    generator = pair[1]
    noise = _noise(generator)
    theirs, _ = run(noise)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    channels = noise.shape[1]
    for sigma, (_, call, _) in zip(generator.sigmas(STEPS), theirs, strict=False):
        noisy = call["hidden_states"][:, :, :channels].transpose(1, 2)
        with torch.no_grad(), overheard(transformer=generator.model.transformer) as ours:
            generator.velocity(noisy * np.hypot(1 - sigma, sigma), sigma, condition)
        arguments = ours[0][1]
        assert torch.equal(arguments["timestep"], call["timestep"].float())
        assert torch.equal(arguments["hidden_states"][:, :, channels:], call["hidden_states"][:, :, channels:])
        assert torch.equal(arguments["encoder_hidden_states"], call["encoder_hidden_states"])
        torch.testing.assert_close(arguments["hidden_states"], call["hidden_states"], rtol=1e-5, atol=1e-6)


def test_euler_steps_along_the_velocity_are_the_pipelines_ddim_steps(pair, run):
    generator = pair[1]
    noise = _noise(generator)
    _, expected = run(noise)
    condition = generator.condition(pipelines.first_frame(), SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(denoise(generator, noise, condition, STEPS), expected, rtol=1e-4, atol=1e-5)


def test_velocity_is_derived_from_the_predicted_v(pair, monkeypatch):
    """A network that predicts v exactly gives the velocity from latent to noise, at any noise level."""
    generator = pair[1]
    clean, noise = (torch.randn(1, *generator.latent_shape(SHAPE)) for _ in range(2))
    cumulated = pair[0].scheduler.alphas_cumprod.double()

    def oracle(hidden_states, timestep, **_):
        share = np.interp(timestep.item(), np.arange(1000), cumulated.numpy())
        return ((share**0.5 * noise - (1 - share) ** 0.5 * clean).transpose(1, 2).float(),)

    monkeypatch.setattr(generator.model.transformer, "forward", oracle)
    for step in (10, 400, 999):
        sigma = float(generator.model.levels[step])
        noisy = (1 - sigma) * clean + sigma * noise
        velocity = generator.velocity(noisy, sigma, generator.condition(None, SHAPE))
        torch.testing.assert_close(velocity, noise - clean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("start", [0.1, 0.5, 0.731, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_sigmas_decrease_from_the_start_to_zero(pair, start, steps):
    sigmas = pair[1].sigmas(steps, start)
    assert len(sigmas) == steps + 1
    assert (sigmas[0], sigmas[-1]) == (start, 0.0)
    assert all(a > b for a, b in pairwise(sigmas))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_decoding_in_chunks_is_the_vaes_own(pair, frames):
    vae = pair[1].model.vae
    latent = torch.randn(1, 4, frames, 2, 2, generator=torch.Generator().manual_seed(frames))
    with torch.no_grad():
        assert torch.equal(decode_in_chunks(vae, latent), vae.decode(latent).sample)


def test_checkpointed_decoding_equals_plain_autograd(pair):
    latent = torch.randn(1, 4, 5, 2, 2, generator=torch.Generator().manual_seed(5))
    results = []
    for run in (kept, recomputed):
        leaf = latent.clone().requires_grad_()
        video = decode_in_chunks(pair[1].model.vae, leaf, run)
        video.square().sum().backward()
        results.append((video.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-4, atol=1e-5)


def test_a_latent_has_the_declared_shape_and_decodes_to_a_video(pair):
    generator = pair[1]
    video = torch.rand(2, SHAPE[0], 3, *SHAPE[1:], generator=torch.Generator().manual_seed(7))
    latent = generator.encode(video)
    assert latent.shape == (2, *generator.latent_shape(SHAPE))
    assert generator.constraints.violation(SHAPE) is None
    with torch.no_grad():
        assert generator.decode(latent).shape == video.shape


def test_learned_positions_fix_the_shape_of_a_clip(pair):
    """CogVideoX-5b-I2V supports only its own frames and sides, 1.5 any."""
    learned = pair[1].model.transformer.config["use_learned_positional_embeddings"]
    violation = pair[1].constraints.violation((17, 32, 48))
    assert violation == "the generator makes 9 frames of 32x32 only, the dataset's videos are 17 frames of 32x48" or (
        violation is None and not learned
    )


def test_a_model_of_another_kind_is_refused(tmp_path):
    pipeline = pipelines.cogvideox()
    pipeline.scheduler.register_to_config(prediction_type="epsilon")
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="v_prediction"):
        CogVideoX(LatentVideoParams(path=str(tmp_path), device="cpu"))
