"""Wan image-to-video models as generators: one class for the embedded small model and for Wan2.1-I2V-14B.

Facts follow diffusers' ``WanImageToVideoPipeline``; its ``__call__`` cannot be used because it runs without gradients.
The families of Wan2.2 differ in a few lines each: ``wan_experts`` and ``wan_ti2v``.
"""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from diffusers.loaders import WanLoraLoaderMixin
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan_i2v import prompt_clean
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from safetensors.torch import save_file
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models import latent_video
from vcfe_bench.models.latent_video import PROMPT_FILE, LatentVideoGenerator, LatentVideoParams
from vcfe_bench.plugins.generator import Constraints

TEXT_TOKENS = 512


def decode_unclamped(vae: AutoencoderKLWan, latent: Tensor, run: latent_video.Run = latent_video.kept) -> Tensor:
    """``vae.decode`` without its final clamp to [-1, 1], whose gradient is zero on saturated pixels.

    ``latent`` is ``[B, C, t, h, w]``, not normalised; the result is ``[B, 3, T, H, W]``. The inputs of ``run`` are the
    latent frames and the causal convolutions' caches: where it keeps no more for the backward pass, the rest of its
    memory is that of one latent frame.
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
        frame, *cache = run(step, chunk, *cache)
        frames.append(frame)
    video = torch.cat(frames, dim=2)
    return video if vae.config["patch_size"] is None else unpatchify(video, patch_size=vae.config["patch_size"])


class WanCondition(NamedTuple):
    """What the transformer sees beside the noisy latent.

    ``latent`` is ``[B, 4 + C, t, h, w]``: the mask of given frames, then the encoded zero-padded first frame. ``image``
    holds the CLIP embeddings ``[B, 257, D]`` for the transformers that want them.
    """

    latent: Tensor
    image: Tensor | None = None


class WanModel:
    """The networks of a Wan2.1-I2V model and the arithmetic between them, trainable or frozen."""

    lora_loader: ClassVar[Any] = WanLoraLoaderMixin
    adapted = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "ffn.net.0.proj", "ffn.net.2")
    """The linear layers that low-rank adapters change."""

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
        self.device = vae.device
        self.run: latent_video.Run = latent_video.recomputed
        """What decoding keeps for the backward pass."""
        shape = (1, -1, 1, 1, 1)
        self.mean = torch.tensor(vae.config["latents_mean"], device=vae.device).view(shape)
        self.scale = 1 / torch.tensor(vae.config["latents_std"], device=vae.device).view(shape)

    def networks(self) -> dict[str, nn.Module]:
        """All networks by the name of their folder."""
        found = {"vae": self.vae, "transformer": self.transformer, "image_encoder": self.image_encoder}
        return {name: network for name, network in found.items() if network is not None}

    def buffers(self) -> dict[str, Tensor]:
        """The tensors beside the networks that decide the output."""
        return {"mean": self.mean, "scale": self.scale, "prompt": self.prompt}

    def bounds(self, network: str) -> tuple[float, float]:
        """The noise levels that a transformer answers for."""
        return 0.0, 1.0

    def save(self, directory: Path) -> None:
        """Write a pipeline directory that ``Wan`` reads, weights in half precision."""
        for name, network in (("vae", self.vae), ("transformer", self.transformer)):
            halved = copy.deepcopy(network).half()
            halved.register_to_config(_name_or_path="")
            halved.save_pretrained(directory / name)
        save_file({"prompt": self.prompt.contiguous()}, directory / PROMPT_FILE)

    def constraints(self) -> Constraints:
        config = self.vae.config
        side = config["scale_factor_spatial"] * self.transformer.config["patch_size"][1]
        return Constraints(config["scale_factor_temporal"], side)

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """``(C, t, h, w)`` for a clip of ``(T, H, W)``."""
        frames, height, width = shape
        config = self.vae.config
        side = config["scale_factor_spatial"]
        return config["z_dim"], (frames - 1) // config["scale_factor_temporal"] + 1, height // side, width // side

    def encode(self, video: Tensor) -> Tensor:
        """``[B, T, 3, H, W]`` in [0, 1] to normalised latents ``[B, C, t, h, w]`` (the posterior's mode)."""
        pixels = (video.transpose(1, 2) * 2 - 1).to(self.vae.device, self.vae.dtype)
        return (self.vae.encode(pixels).latent_dist.mode().float() - self.mean) * self.scale

    def decode(self, latent: Tensor) -> Tensor:
        """Normalised latents to ``[B, T, 3, H, W]``, unclamped; differentiable."""
        hidden = (latent / self.scale + self.mean).to(self.vae.dtype)
        run = self.run if torch.is_grad_enabled() and latent.requires_grad else latent_video.kept
        pixels = decode_unclamped(self.vae, hidden, run)
        return (pixels.float().transpose(1, 2) + 1) / 2

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
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
        """CLIP's last but one layer, of the 8-bit image as the pipeline gets it."""
        width = self.transformer.config["image_dim"]
        if width is None:
            return None
        if first_frame is None:
            return torch.zeros(1, 257, width, device=self.device)
        pixels = (first_frame * 255).round().to(torch.uint8)
        inputs = self.image_processor(images=list(pixels), return_tensors="pt").to(self.device)
        return self.image_encoder(**inputs, output_hidden_states=True).hidden_states[-2]

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        """The identity: the first frame enters beside the latent, and the latent is free."""
        return latent

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: Any) -> Tensor:
        """Estimate of ``ε - z_0`` for float32 latents at noise level ``sigma`` (a number, or ``[B]``)."""
        inputs = torch.cat([latent, condition.latent.expand(len(latent), -1, -1, -1, -1)], dim=1)
        return self._transform(self._expert(sigma), inputs, self._timestep(latent, sigma), condition.image)

    def _timestep(self, latent: Tensor, sigma: Tensor | float) -> Tensor:
        return torch.as_tensor(sigma, device=latent.device).float().expand(len(latent)) * 1000

    def _expert(self, sigma: Tensor | float) -> WanTransformer3DModel:
        """The transformer that answers at this noise level (a number, or ``[B]``)."""
        return self.transformer

    def _transform(
        self, transformer: WanTransformer3DModel, inputs: Tensor, timestep: Tensor, image: Tensor | None = None
    ) -> Tensor:
        batch, dtype = len(inputs), transformer.dtype
        return transformer(
            hidden_states=inputs.to(dtype),
            timestep=timestep,
            encoder_hidden_states=self.prompt.to(dtype).expand(batch, -1, -1),
            encoder_hidden_states_image=None if image is None else image.to(dtype).expand(batch, -1, -1),
            return_dict=False,
        )[0].float()

    @classmethod
    def read(cls, params: LatentVideoParams) -> WanModel:
        """The networks of a pipeline directory or hub id, frozen and in evaluation mode."""
        device = params.chosen_device()
        transformer = read_transformer(params, "transformer", params.lora, device)
        encoder = processor = None
        if transformer.config["image_dim"] is not None:
            from transformers import CLIPImageProcessor, CLIPVisionModel

            encoder = CLIPVisionModel.from_pretrained(params.path, subfolder="image_encoder", torch_dtype=torch.float32)
            encoder = encoder.requires_grad_(False).eval().to(device)  # type: ignore[arg-type]
            processor = CLIPImageProcessor.from_pretrained(params.path, subfolder="image_processor")
        return cls(read_vae(params, device), transformer, read_prompt(params, device), encoder, processor)

    @classmethod
    def sketch(cls, params: LatentVideoParams) -> WanModel:
        """The same without data, for use inside a ``FakeTensorMode``."""
        parts = latent_video.architecture(params.path)
        encoder = None
        if "image_encoder" in parts:
            from transformers import CLIPVisionConfig, CLIPVisionModel

            encoder = CLIPVisionModel(CLIPVisionConfig(**parts["image_encoder"])).requires_grad_(False)
        return cls(*sketch_networks(parts, params), encoder)


def sketch_networks(
    parts: dict[str, dict[str, Any]], params: LatentVideoParams
) -> tuple[AutoencoderKLWan, WanTransformer3DModel, Tensor]:
    """Autoencoder, transformer and prompt of a sketch."""
    vae = AutoencoderKLWan.from_config(parts["vae"]).requires_grad_(False).eval()
    transformer = latent_video.sketched(WanTransformer3DModel, parts["transformer"], params)
    return vae, transformer, latent_video.empty_prompt(params.path, TEXT_TOKENS, transformer.config["text_dim"])


def read_vae(params: LatentVideoParams, device: torch.device) -> AutoencoderKLWan:
    vae = AutoencoderKLWan.from_pretrained(params.path, subfolder="vae", torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval().to(device)


def read_transformer(
    params: LatentVideoParams, subfolder: str, lora: str, device: torch.device
) -> WanTransformer3DModel:
    """A transformer with the adapter ``lora`` (if any) fused, ready for use."""
    transformer = WanTransformer3DModel.from_pretrained(
        params.path, subfolder=subfolder, torch_dtype=params.compute_dtype
    )
    if lora:
        latent_video.fuse_lora(WanModel.lora_loader, transformer, lora)
    latent_video.prepare(transformer, params, device)
    return transformer


def read_prompt(params: LatentVideoParams, device: torch.device) -> Tensor:
    """The prompt's embedding, stored or from the text encoder, which is dropped afterwards."""
    stored = latent_video.stored_prompt(params.path)
    return _encode_prompt(params, device) if stored is None else stored.to(device)


def _encode_prompt(params: LatentVideoParams, device: torch.device) -> Tensor:
    """UMT5 embeddings ``[1, 512, D]``, zero after the prompt's end, as the pipeline feeds them."""
    from transformers import AutoTokenizer, UMT5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(params.path, subfolder="tokenizer")
    encoder = UMT5EncoderModel.from_pretrained(params.path, subfolder="text_encoder", torch_dtype=params.compute_dtype)
    encoder = encoder.to(device)  # type: ignore[arg-type]
    tokens = tokenizer(
        prompt_clean(params.prompt),
        padding="max_length",
        max_length=TEXT_TOKENS,
        truncation=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        hidden = encoder(tokens.input_ids.to(device), tokens.attention_mask.to(device)).last_hidden_state
    hidden = hidden * tokens.attention_mask.to(device)[..., None]
    del encoder
    gc.collect()
    return hidden


@validated(frozen=True, config={"extra": "forbid"})
class WanParams(LatentVideoParams):
    """As for every pipeline, and ``shift``: flow shift of the schedule (3 for 480P, 5 for 720P)."""

    shift: float = Field(default=3.0, gt=0)


class Wan(LatentVideoGenerator):
    """A Wan2.1 image-to-video model from a diffusers directory or hub id, frozen."""

    Params: ClassVar[type] = WanParams
    params: WanParams
    family: ClassVar[type[WanModel]] = WanModel
    name: ClassVar[str] = "wan"

    def check(self) -> None:
        if (right := registered_name(self.params.path)) != self.name:
            raise UsageError(f"{self.params.path} is of another family: write {right}[path={self.params.path}]")

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

    def _settings(self) -> list[str]:
        return [f"shift{self.params.shift:g}", *super()._settings()]


def registered_name(path: str) -> str:
    """Which of the Wan generators reads the pipeline at ``path``."""
    config = latent_video.pipeline_config(path)
    if config.get("expand_timesteps"):
        return "wan_ti2v"
    return "wan" if config.get("boundary_ratio") is None else "wan_experts"
