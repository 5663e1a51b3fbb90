"""Untrained Wan models of the real classes, small enough for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import save_file

from vcfe_bench.models.wan import PROMPT_FILE, Wan, WanParams

SHAPE = (9, 32, 32)


def vae(latent_channels: int = 4) -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=latent_channels,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
        latents_mean=[0.1 * k for k in range(latent_channels)],
        latents_std=[0.5 + 0.1 * k for k in range(latent_channels)],
    )


def transformer(latent_channels: int = 4, image_width: int | None = None) -> WanTransformer3DModel:
    torch.manual_seed(1)
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=2 * latent_channels + 4,
        out_channels=latent_channels,
        text_dim=8,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        image_dim=image_width,
        added_kv_proj_dim=None if image_width is None else 24,
    )


def save(directory: Path) -> Path:
    """A pipeline directory with networks and prompt embedding."""
    vae().save_pretrained(directory / "vae")
    transformer().save_pretrained(directory / "transformer")
    save_file({"prompt": torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(2))}, directory / PROMPT_FILE)
    return directory


def generator(directory: Path) -> Wan:
    return Wan(WanParams(path=str(save(directory)), dtype="float32", device="cpu"))
