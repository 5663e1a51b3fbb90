"""Untrained diffusers pipelines of the published families, small enough for tests, with all their parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    WanImageToVideoPipeline,
    WanTransformer3DModel,
)
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

SHAPE = (9, 32, 32)
TEXT = {"vocab_size": 8, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "</s>", "<unk>", "This", "is", "a", "synthetic", "video"]
    core = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def vision() -> tuple[CLIPVisionModel, CLIPImageProcessor]:
    """257 tokens of width 16."""
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=2
    )
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return CLIPVisionModel(config).eval(), processor


def wan_vae(**changes: Any) -> AutoencoderKLWan:
    settings: dict[str, Any] = {
        "base_dim": 4,
        "z_dim": 4,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.1, 0.2, -0.1, 0.0],
        "latents_std": [0.5, 0.7, 0.9, 1.1],
    }
    return AutoencoderKLWan(**{**settings, **changes}).eval()


def wan_transformer(**changes: Any) -> WanTransformer3DModel:
    settings: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 12,
        "out_channels": 4,
        "text_dim": 8,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
    }
    return WanTransformer3DModel(**{**settings, **changes}).eval()


def wan(shift: float = 3.0, **parts: Any) -> WanImageToVideoPipeline:
    """A pipeline of the given parts; the rest as in Wan2.1-I2V without CLIP."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "tokenizer": tokenizer(),
        "text_encoder": UMT5EncoderModel(UMT5Config(**TEXT)).eval(),
        "vae": wan_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=shift),
        "transformer": wan_transformer(),
    }
    return WanImageToVideoPipeline(**{**settings, **parts})


def wan_clip() -> WanImageToVideoPipeline:
    """A small Wan2.1-I2V-14B: with CLIP embeddings of the first frame."""
    torch.manual_seed(0)
    encoder, processor = vision()
    transformer = wan_transformer(image_dim=16, added_kv_proj_dim=24)
    return wan(transformer=transformer, image_encoder=encoder, image_processor=processor)


def wan_experts() -> WanImageToVideoPipeline:
    """A small Wan2.2-I2V-A14B: two transformers."""
    torch.manual_seed(1)
    return wan(transformer=wan_transformer(), transformer_2=wan_transformer(), boundary_ratio=0.9)


def wan_ti2v() -> WanImageToVideoPipeline:
    """A small Wan2.2-TI2V-5B: residual autoencoder on patches, and a transformer without condition channels."""
    torch.manual_seed(0)
    vae = wan_vae(
        decoder_base_dim=8,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=16,
    )
    return wan(shift=5.0, vae=vae, transformer=wan_transformer(in_channels=4), expand_timesteps=True)


def cogvideox(version: str = "1.0") -> CogVideoXImageToVideoPipeline:
    """A small CogVideoX-5b-I2V or CogVideoX1.5-5B-I2V."""
    torch.manual_seed(0)
    newer: dict[str, Any] = {"patch_size_t": 2, "patch_bias": False, "ofs_embed_dim": 8}
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=8,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=8,
        num_layers=2,
        sample_width=4,
        sample_height=4,
        sample_frames=9,
        max_text_seq_length=12,
        use_rotary_positional_embeddings=True,
        **(newer if version == "1.5" else {"use_learned_positional_embeddings": True}),
    )
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        scaling_factor=0.7,
        invert_scale_latents=version == "1.5",
    )
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0,
        clip_sample=False,
    )
    encoder = T5EncoderModel(T5Config(**TEXT)).eval()
    return CogVideoXImageToVideoPipeline(
        tokenizer=tokenizer(),
        text_encoder=encoder,
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=scheduler,
    )


def picture() -> Image.Image:
    """An 8-bit image with the sides of ``SHAPE``."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (*SHAPE[1:], 3), dtype=np.uint8))


def first_frame() -> torch.Tensor:
    """``picture`` as ``[1, 3, H, W]`` in [0, 1]."""
    return torch.from_numpy(np.array(picture())).permute(2, 0, 1)[None].float() / 255


@contextmanager
def overheard(**networks: nn.Module) -> Iterator[list[tuple[str, dict[str, Any], torch.Tensor]]]:
    """Records name, arguments and output of every call of the networks."""
    calls: list[tuple[str, dict[str, Any], torch.Tensor]] = []

    def listen(name: str) -> Any:
        return lambda module, args, kwargs, output: calls.append((name, kwargs, output[0]))

    handles = [net.register_forward_hook(listen(name), with_kwargs=True) for name, net in networks.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def assert_same(ours: tuple[str, dict[str, Any], Any], theirs: tuple[str, dict[str, Any], Any]) -> None:
    """Two calls are of the same network, with the same arguments bit for bit, and have the same output."""
    assert ours[0] == theirs[0]
    ignored = {"attention_kwargs", "return_dict"}
    assert {k for k, v in ours[1].items() if v is not None} - ignored == {
        k for k, v in theirs[1].items() if v is not None
    } - ignored
    for key in ours[1].keys() - ignored:
        mine, other = ours[1][key], theirs[1][key]
        for a, b in zip(mine, other, strict=True) if isinstance(mine, tuple) else [(mine, other)]:
            assert (a is None and b is None) or torch.equal(a.float(), b.float()), key
    assert torch.equal(ours[2], theirs[2])
