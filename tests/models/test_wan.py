from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from diffusers.schedulers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from diffusers.training_utils import _collate_lora_metadata
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from tests.models import tiny_wan
from tests.models.tiny_wan import SHAPE
from vcfe_bench.models.latent_video import kept, recomputed
from vcfe_bench.models.shipped_wans import channel_norm
from vcfe_bench.models.wan import Wan, WanModel, WanParams, decode_unclamped


@pytest.fixture(scope="module")
def wan(tmp_path_factory) -> Wan:
    return tiny_wan.generator(tmp_path_factory.mktemp("wan"))


@pytest.mark.parametrize("images", [False, True])
def test_the_norm_of_channels_is_that_of_diffusers(images):
    norm = WanRMS_norm(6, images=images)
    norm.gamma = torch.nn.Parameter(torch.rand_like(norm.gamma))
    hidden = torch.randn(2, 6, 4, 4) if images else torch.randn(2, 6, 3, 4, 4)
    hidden[0, :, ..., 0] = 0
    torch.testing.assert_close(channel_norm(norm, hidden), norm(hidden))


def _frame(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, *SHAPE[1:], generator=torch.Generator().manual_seed(3))


def test_the_condition_is_that_of_the_pipeline(wan):
    pipeline = WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=wan.model.vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=wan.model.transformer,
    )
    frame = _frame()
    _, expected = pipeline.prepare_latents(
        frame * 2 - 1,
        batch_size=1,
        num_channels_latents=4,
        height=SHAPE[1],
        width=SHAPE[2],
        num_frames=SHAPE[0],
        dtype=torch.float32,
        device=torch.device("cpu"),
        generator=torch.Generator(),
    )
    assert torch.equal(wan.condition(frame, SHAPE).latent, expected)


def test_without_a_first_frame_the_mask_is_empty(wan):
    condition = wan.condition(None, SHAPE)
    assert condition.latent.shape == (1, 8, 3, 4, 4)
    assert (condition.latent[:, :4] == 0).all()
    latent = torch.randn(3, 4, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = wan.velocity(latent, 0.5, condition)
        alone = torch.cat([wan.velocity(row, 0.5, condition) for row in latent.split(1)])
    torch.testing.assert_close(together, alone)


def test_clip_embeddings_reach_transformers_that_use_them():
    vision = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=2,
        )
    ).eval()
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model = WanModel(tiny_wan.vae(), tiny_wan.transformer(image_width=16), torch.randn(1, 512, 8), vision, processor)
    with torch.no_grad():
        condition = model.condition(_frame(), SHAPE)
        assert condition.image is not None
        assert condition.image.shape == (1, 257, 16)
        latent = torch.randn(1, 4, 3, 4, 4)
        changed = model.condition(1 - _frame(), SHAPE).image
        with_image = model.velocity(latent, 1.0, condition)
        other = type(condition)(condition.latent, changed)
        assert not torch.equal(with_image, model.velocity(latent, 1.0, other))


def test_unclamped_decoding_is_the_vaes_own_before_the_clamp(wan):
    latent = torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(4)) * 3
    with torch.no_grad():
        free = decode_unclamped(wan.model.vae, latent)
        assert torch.equal(free.clamp(-1, 1), wan.model.vae.decode(latent).sample)
    assert free.abs().max() > 1


def test_checkpointed_decoding_equals_plain_autograd(wan):
    latent = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    weight = torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(6))
    results = []
    for run in (kept, recomputed):
        leaf = latent.clone().requires_grad_()
        video = decode_unclamped(wan.model.vae, leaf, run)
        (video * weight).sum().backward()
        results.append((video.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


def test_encode_normalises_with_the_statistics_of_the_config(wan):
    video = torch.rand(1, *SHAPE[:1], 3, *SHAPE[1:], generator=torch.Generator().manual_seed(7))
    latent = wan.encode(video)
    raw = wan.model.vae.encode(video.transpose(1, 2) * 2 - 1).latent_dist.mode()
    for channel in range(4):
        torch.testing.assert_close(
            latent[:, channel] * (0.5 + 0.1 * channel) + 0.1 * channel, raw[:, channel], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 15])
def test_sigmas_match_unipcs_flow_grid(wan, steps):
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(steps)
    assert wan.sigmas(steps) == pytest.approx(scheduler.sigmas.tolist(), abs=2.5e-3)


def test_full_noise_is_the_default_start(wan):
    for steps in (1, 7, 15):
        assert wan.sigmas(steps, 1.0) == wan.sigmas(steps)
        assert wan.sigmas(steps) == [3 * u / (1 + 2 * u) for u in ((steps - k) / steps for k in range(steps))] + [0.0]


@given(start=st.floats(0.01, 1), steps=st.integers(1, 20))
def test_steps_from_a_start_inside_the_schedule_are_even_before_the_shift(wan, start, steps):
    sigmas = wan.sigmas(steps, start)
    assert len(sigmas) == steps + 1
    assert (sigmas[0], sigmas[-1]) == (start, 0.0)
    unshifted = np.array([s / (3 - 2 * s) for s in sigmas])
    np.testing.assert_allclose(unshifted, np.linspace(unshifted[0], 0, steps + 1), atol=1e-12)


def test_the_tail_of_a_schedule_is_a_schedule(wan):
    whole = wan.sigmas(15)
    assert wan.sigmas(10, whole[5]) == pytest.approx(whole[5:], abs=1e-12)


def test_constraints_name_the_step(wan):
    assert wan.constraints.violation((9, 32, 32)) is None
    assert "4k+1" in wan.constraints.violation((10, 32, 32))
    assert "multiples of 8" in wan.constraints.violation((9, 36, 32))


def test_fused_lora_equals_the_adapter(tmp_path, wan):
    network = tiny_wan.transformer()
    network.add_adapter(LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    WanImageToVideoPipeline.save_lora_weights(
        str(tmp_path / "lora"),
        transformer_lora_layers=get_peft_model_state_dict(network),
        **_collate_lora_metadata({"transformer": network}),
    )
    tiny_wan.save(tmp_path)
    fused = Wan(WanParams(path=str(tmp_path), lora=str(tmp_path / "lora"), dtype="float32", device="cpu"))
    latent = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(8))
    condition = wan.condition(_frame(), SHAPE)
    with torch.no_grad():
        expected = WanModel(wan.model.vae, network.eval(), wan.model.prompt).velocity(latent, 0.5, condition)
        plain = wan.velocity(latent, 0.5, condition)
        result = fused.velocity(latent, 0.5, condition)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(result, plain, atol=1e-3)
    assert fused.fingerprint != wan.fingerprint
