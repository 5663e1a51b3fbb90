"""Wan image-to-video models as generators: one class for the embedded small model and for the published ones.

Facts follow diffusers' ``WanImageToVideoPipeline``; its ``__call__`` cannot be used because it runs without gradients.
"""

from __future__ import annotations

import copy
import gc
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.loaders import WanLoraLoaderMixin
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vcfe_bench.interfaces import Constraints, Generator
from vcfe_bench.weights import fingerprint

PROMPT = "This is a synthetic video"
"""The fixed class-agnostic prompt of the BTTF paper (section 4.1)."""
PROMPT_FILE = "prompt_embeds.safetensors"
TEXT_TOKENS = 512


def decode_unclamped(vae: AutoencoderKLWan, latent: Tensor, checkpointed: bool = False) -> Tensor:
    """``vae.decode`` without its final clamp to [-1, 1], whose gradient is zero on saturated pixels.

    ``latent`` is ``[B, C, t, h, w]``, not normalised; the result is ``[B, 3, T, H, W]``. With ``checkpointed`` only the
    latent frames and the causal convolutions' caches are kept for the backward pass, so that its peak memory is that of
    one latent frame.
    """
    hidden = vae.post_quant_conv(latent)
    cache: list = [None] * vae._cached_conv_counts["decoder"]
    frames = []
    for index in range(hidden.shape[2]):

        def step(chunk: Tensor, *state, first: bool = index == 0):
            caches = list(state)
            frame = vae.decoder(chunk, feat_cache=caches, feat_idx=[0], first_chunk=first)
            return (frame, *caches)

        chunk = hidden[:, :, index : index + 1]
        if checkpointed:
            frame, *cache = checkpoint(step, chunk, *cache, use_reentrant=False)
        else:
            frame, *cache = step(chunk, *cache)
        frames.append(frame)
    video = torch.cat(frames, dim=2)
    return video if vae.config["patch_size"] is None else unpatchify(video, patch_size=vae.config["patch_size"])


@dataclass(frozen=True)
class WanCondition:
    """What the transformer sees beside the noisy latent.

    ``latent`` is ``[B, 4 + C, t, h, w]``: the mask of given frames, then the encoded zero-padded first frame. ``image``
    holds the CLIP embeddings ``[B, 257, D]`` for the transformers that want them.
    """

    latent: Tensor
    image: Tensor | None = None


class WanModel:
    """The networks of a Wan2.1-I2V model and the arithmetic between them, trainable or frozen."""

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        prompt: Tensor,
        image_encoder: Any = None,
        image_processor: Any = None,
    ) -> None:
        self.vae = vae
        self.transformer = transformer
        self.prompt = prompt
        self.image_encoder = image_encoder
        self.image_processor = image_processor
        shape = (1, -1, 1, 1, 1)
        self.mean = torch.tensor(vae.config["latents_mean"], device=vae.device).view(shape)
        self.scale = 1 / torch.tensor(vae.config["latents_std"], device=vae.device).view(shape)

    def save(self, directory: Path) -> None:
        """Write a pipeline directory that ``load`` reads, weights in half precision."""
        for name, network in (("vae", self.vae), ("transformer", self.transformer)):
            halved = copy.deepcopy(network).half()
            halved.register_to_config(_name_or_path="")
            halved.save_pretrained(directory / name)
        save_file({"prompt": self.prompt.contiguous()}, directory / PROMPT_FILE)

    def encode(self, video: Tensor) -> Tensor:
        """``[B, T, 3, H, W]`` in [0, 1] to normalised latents ``[B, C, t, h, w]`` (the posterior's mode)."""
        pixels = (video.transpose(1, 2) * 2 - 1).to(self.vae.device, self.vae.dtype)
        return (self.vae.encode(pixels).latent_dist.mode().float() - self.mean) * self.scale

    def decode(self, latent: Tensor) -> Tensor:
        """Normalised latents to ``[B, T, 3, H, W]``, unclamped; differentiable at the memory of one latent frame."""
        hidden = (latent / self.scale + self.mean).to(self.vae.dtype)
        pixels = decode_unclamped(self.vae, hidden, checkpointed=torch.is_grad_enabled() and latent.requires_grad)
        return (pixels.float().transpose(1, 2) + 1) / 2

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> WanCondition:
        """Mask and encoded zero-padded video, as the pipeline builds them.

        Without a first frame both say "nothing given", for any number of clips. Padding is zero in [-1, 1], that is
        mid-grey.
        """
        frames, height, width = shape
        factor = self.vae.config["scale_factor_temporal"]
        batch = 1 if first_frame is None else len(first_frame)
        video = torch.full((batch, frames, 3, height, width), 0.5)
        if first_frame is not None:
            video[:, 0] = first_frame
        latent = self.encode(video)
        mask = torch.zeros(batch, factor, *latent.shape[2:], device=latent.device)
        if first_frame is not None:
            mask[:, :, 0] = 1
        return WanCondition(torch.cat([mask, latent], dim=1), self._image_embedding(first_frame))

    def _image_embedding(self, first_frame: Tensor | None) -> Tensor | None:
        width = self.transformer.config["image_dim"]
        if width is None:
            return None
        if first_frame is None:
            return torch.zeros(1, 257, width, device=self.vae.device)
        inputs = self.image_processor(images=list(first_frame), do_rescale=False, return_tensors="pt").to(
            self.vae.device
        )
        return self.image_encoder(**inputs, output_hidden_states=True).hidden_states[-2]

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: WanCondition) -> Tensor:
        """Estimate of ``ε - z_0`` for float32 latents at noise level ``sigma`` (a number, or ``[B]``)."""
        batch, dtype = len(latent), self.transformer.dtype
        image = condition.image
        return self.transformer(
            hidden_states=torch.cat([latent, condition.latent.expand(batch, -1, -1, -1, -1)], dim=1).to(dtype),
            timestep=torch.as_tensor(sigma, device=latent.device).float().expand(batch) * 1000,
            encoder_hidden_states=self.prompt.to(dtype).expand(batch, -1, -1),
            encoder_hidden_states_image=None if image is None else image.to(dtype).expand(batch, -1, -1),
            return_dict=False,
        )[0].float()


@validated(frozen=True, config={"extra": "forbid"})
class WanParams:
    """``path``: a diffusers pipeline directory or a hub id, e.g. ``Wan-AI/Wan2.1-I2V-14B-480P-Diffusers``.

    ``lora``: adapter file or directory, fused before use. ``shift``: flow shift of the schedule (3 for 480P, 5 for
    720P). ``dtype``: of the networks; latents stay in float32. ``device``: ``auto`` is CUDA where there is one.
    """

    path: str = ""
    lora: str = ""
    prompt: str = PROMPT
    shift: float = Field(default=3.0, gt=0)
    dtype: str = "bfloat16"
    device: str = "auto"


class Wan(Generator):
    """A Wan2.1 image-to-video model from a diffusers directory or hub id, frozen."""

    Params: ClassVar[type] = WanParams
    params: WanParams

    def __init__(self, params: WanParams | None = None) -> None:
        super().__init__(params)
        if not self.params.path:
            raise ValueError("name a model: wan[path=Wan-AI/Wan2.1-I2V-14B-480P-Diffusers] or wan[path=DIRECTORY]")
        device = self.params.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load(
            self.params.path, self.params.prompt, self.params.lora, getattr(torch, self.params.dtype), device
        )
        config = self.model.vae.config
        patch = self.model.transformer.config["patch_size"][1]
        self.constraints = Constraints(config["scale_factor_temporal"], config["scale_factor_spatial"] * patch)

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        return self.model.encode(video)

    def decode(self, latent: Tensor) -> Tensor:
        return self.model.decode(latent)

    @torch.no_grad()
    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> WanCondition:
        return self.model.condition(first_frame, shape)

    def velocity(self, latent: Tensor, sigma: float, condition: WanCondition) -> Tensor:
        return self.model.velocity(latent, sigma, condition)

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """``s = a u / (1 + (a - 1) u)`` for shift ``a`` and ``steps`` values of ``u``, evenly spaced down to 0.

        The first ``u`` is the one whose ``s`` is ``start``: 1 for full noise. Given explicitly because
        ``FlowMatchEulerDiscreteScheduler.set_timesteps(n)`` shifts its end points twice, which wastes a step for
        small n.
        """
        shift = self.params.shift
        first = start / (shift - (shift - 1) * start)
        grid = [first * (steps - k) / steps for k in range(1, steps)]
        return [start, *(shift * u / (1 + (shift - 1) * u) for u in grid), 0.0]

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        frames, height, width = shape
        config = self.model.vae.config
        side = config["scale_factor_spatial"]
        return config["z_dim"], (frames - 1) // config["scale_factor_temporal"] + 1, height // side, width // side

    @property
    def fingerprint(self) -> str:
        model = self.model
        state = {
            **{f"vae.{k}": v for k, v in model.vae.state_dict().items()},
            **{f"transformer.{k}": v for k, v in model.transformer.state_dict().items()},
            "mean": model.mean,
            "scale": model.scale,
            "prompt": model.prompt,
        }
        return f"{fingerprint(state)}-shift{self.params.shift:g}"


@validated(frozen=True, config={"extra": "forbid"})
class WanShapeMovingParams:
    """``shift``: flow shift of the schedule."""

    shift: float = Field(default=3.0, gt=0)


class WanShapeMoving(Wan):
    """The embedded small Wan, trained from scratch on Shape-Moving's training split."""

    Params = WanShapeMovingParams

    def __init__(self, params: WanShapeMovingParams | None = None) -> None:
        chosen = params or WanShapeMovingParams()
        directory = files("vcfe_bench.models") / "zoo" / "wan_shape_moving"
        super().__init__(WanParams(path=str(directory), shift=chosen.shift, dtype="float32", device="cpu"))


def load(path: str, prompt: str, lora: str, dtype: torch.dtype, device: str) -> WanModel:
    """Read the networks of a pipeline directory or hub id, frozen and in evaluation mode.

    The text encoder is only there for the fixed prompt: where ``prompt_embeds.safetensors`` lies in the directory it is
    used, otherwise the prompt is encoded once and the encoder is dropped.
    """
    vae = AutoencoderKLWan.from_pretrained(path, subfolder="vae", torch_dtype=torch.float32)
    transformer = WanTransformer3DModel.from_pretrained(path, subfolder="transformer", torch_dtype=dtype)
    if lora:
        _fuse_lora(transformer, lora)
    stored = Path(path) / PROMPT_FILE
    embedding = load_file(stored)["prompt"] if stored.exists() else _encode_prompt(path, prompt, dtype, device)
    encoder = processor = None
    if transformer.config["image_dim"] is not None:
        from transformers import CLIPImageProcessor, CLIPVisionModel

        encoder = CLIPVisionModel.from_pretrained(path, subfolder="image_encoder", torch_dtype=torch.float32)
        encoder = encoder.requires_grad_(False).eval().to(device)
        processor = CLIPImageProcessor.from_pretrained(path, subfolder="image_processor")
    for network in (vae, transformer):
        network.requires_grad_(False).eval().to(device)
    return WanModel(vae, transformer, embedding.to(device), encoder, processor)


def _fuse_lora(transformer: WanTransformer3DModel, path: str) -> None:
    state, metadata = WanLoraLoaderMixin.lora_state_dict(path, return_lora_metadata=True)
    WanLoraLoaderMixin.load_lora_into_transformer(state, transformer=transformer, metadata=metadata)
    transformer.fuse_lora()
    transformer.unload_lora()


def _encode_prompt(path: str, prompt: str, dtype: torch.dtype, device: str) -> Tensor:
    """UMT5 embeddings ``[1, 512, D]``, zero after the prompt's end, as the pipeline feeds them."""
    from transformers import AutoTokenizer, UMT5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(path, subfolder="tokenizer")
    encoder = UMT5EncoderModel.from_pretrained(path, subfolder="text_encoder", torch_dtype=dtype)
    encoder = encoder.to(device)  # type: ignore[arg-type]
    tokens = tokenizer(prompt, padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(tokens.input_ids.to(device), tokens.attention_mask.to(device)).last_hidden_state
    hidden = hidden * tokens.attention_mask.to(device)[..., None]
    del encoder
    gc.collect()
    return hidden
