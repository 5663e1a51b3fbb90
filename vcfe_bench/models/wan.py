"""Wan image-to-video models as generators: one class for the embedded small model and for Wan2.1-I2V-14B.

The computation follows diffusers' ``WanImageToVideoPipeline``, whose ``__call__`` cannot be used because it runs
without gradients. The families of Wan2.2 differ in a few lines each: ``wan_experts`` and ``wan_ti2v``.
"""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan_i2v import prompt_clean
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from safetensors.torch import save_file
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models import adapters, latent_video, pipeline_folder
from vcfe_bench.models.latent_video import PROMPT_FILE, LatentVideoGenerator, LatentVideoParams
from vcfe_bench.plugins.generator import Constraints

TEXT_TOKENS = 512


def decode_unclamped(vae: AutoencoderKLWan, latent: Tensor, run: latent_video.Run = latent_video.kept) -> Tensor:
    """``vae.decode`` without its final clamp to [-1, 1], whose gradient is zero on saturated pixels.

    ``latent`` is ``[B, C, t, h, w]``, not normalised; the result is ``[B, 3, T, H, W]``. ``run`` is called for each
    latent frame, with the frame and the caches of the causal convolutions. If it stores only these inputs, the
    remaining memory of the backward pass is that of one latent frame.
    """
    hidden = vae.post_quant_conv(latent)
    cache: list[Any] = [None] * vae._cached_conv_counts["decoder"]
    frames = []
    for index in range(hidden.shape[2]):

        def step(chunk: Tensor, *state: Any, first: bool = index == 0) -> tuple[Any, ...]:
            caches = list(state)
            frame = vae.decoder(chunk, feat_cache=caches, feat_idx=[0], first_chunk=first)
            return (frame, *caches)

        chunk = hidden[:, :, index : index + 1]
        frame, *cache = run(step, chunk, *cache)
        frames.append(frame)
    video = torch.cat(frames, dim=2)
    return video if vae.config["patch_size"] is None else unpatchify(video, patch_size=vae.config["patch_size"])  # type: ignore[no-untyped-call]


def save_halved(network: ModelMixin, folder: Path) -> None:
    """Write a network of diffusers in half precision, without the path that it was read from."""
    halved = copy.deepcopy(network).half()  # type: ignore[no-untyped-call]
    halved.register_to_config(_name_or_path="")
    halved.save_pretrained(folder)


class WanCondition(NamedTuple):
    """The transformer's inputs apart from the noisy latent.

    ``latent`` is ``[B, 4 + C, t, h, w]``: the mask of given frames, then the encoded zero-padded first frame. ``image``
    is the CLIP embedding ``[B, 257, D]``, for transformers that use one.
    """

    latent: Tensor
    image: Tensor | None = None


class WanModel:
    """The networks of a Wan2.1-I2V model and the computation that connects them, trainable or frozen."""

    lora_loader: ClassVar[Any] = WanLoraLoaderMixin
    adapted = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "ffn.net.0.proj", "ffn.net.2")
    """The linear layers that get low-rank adapters."""

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
        """What decoding stores for the backward pass."""
        shape = (1, -1, 1, 1, 1)
        self.mean = torch.tensor(vae.config["latents_mean"], device=vae.device).view(shape)
        self.scale = 1 / torch.tensor(vae.config["latents_std"], device=vae.device).view(shape)

    def networks(self) -> dict[str, nn.Module]:
        """All networks, by the name of their folder."""
        networks = {"vae": self.vae, "transformer": self.transformer, "image_encoder": self.image_encoder}
        return {name: network for name, network in networks.items() if network is not None}

    def buffers(self) -> dict[str, Tensor]:
        """The tensors, apart from the networks, that determine the output."""
        return {"mean": self.mean, "scale": self.scale, "prompt": self.prompt}

    def bounds(self, network: str) -> tuple[float, float]:
        """The range of noise levels for which a transformer is used."""
        return 0.0, 1.0

    def save(self, directory: Path) -> None:
        """Write a pipeline directory that ``Wan`` reads, with weights in half precision."""
        for name, network in (("vae", self.vae), ("transformer", self.transformer)):
            save_halved(network, directory / name)
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
        """Mask and encoded zero-padded video, as in the pipeline.

        Without a first frame, the mask is zero and the video is padding only, for any number of clips. Padding is zero
        in [-1, 1], which is mid-grey.
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
        """The second to last layer of CLIP for the 8-bit image, as in the pipeline."""
        width = self.transformer.config["image_dim"]
        if width is None:
            return None
        if first_frame is None:
            return torch.zeros(1, 257, width, device=self.device)
        pixels = (first_frame * 255).round().to(torch.uint8)
        inputs = self.image_processor(images=list(pixels), return_tensors="pt").to(self.device)
        return self.image_encoder(**inputs, output_hidden_states=True).hidden_states[-2]

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        """The identity: the first frame is a separate input and does not constrain the latent."""
        return latent

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: Any) -> Tensor:
        """Estimate of ``ε - z_0`` for float32 latents at noise level ``sigma`` (a number, or ``[B]``)."""
        inputs = torch.cat([latent, condition.latent.expand(len(latent), -1, -1, -1, -1)], dim=1)
        return self._transform(self._expert(sigma), inputs, self._timestep(latent, sigma), condition.image)

    def _timestep(self, latent: Tensor, sigma: Tensor | float) -> Tensor:
        return torch.as_tensor(sigma, device=latent.device).float().expand(len(latent)) * 1000

    def _expert(self, sigma: Tensor | float) -> WanTransformer3DModel:
        """The transformer for this noise level (a number, or ``[B]``)."""
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

            chosen = pipeline_folder.variant(params.path, "image_encoder")
            encoder = CLIPVisionModel.from_pretrained(
                params.path, subfolder="image_encoder", torch_dtype=torch.float32, variant=chosen
            )
            encoder = encoder.requires_grad_(False).eval().to(device)  # type: ignore[no-untyped-call]
            processor = CLIPImageProcessor.from_pretrained(params.path, subfolder="image_processor")
        return cls(read_vae(params, device), transformer, read_prompt(params, device), encoder, processor)

    @classmethod
    def sketch(cls, params: LatentVideoParams) -> WanModel:
        """The same without weights, for use inside a ``FakeTensorMode``."""
        parts = latent_video.architecture(params.path)
        encoder = None
        if "image_encoder" in parts:
            from transformers import CLIPVisionConfig, CLIPVisionModel

            encoder = CLIPVisionModel(CLIPVisionConfig(**parts["image_encoder"])).requires_grad_(False)
        return cls(*sketch_networks(parts, params), encoder)


def sketch_networks(
    parts: dict[str, dict[str, Any]], params: LatentVideoParams
) -> tuple[AutoencoderKLWan, WanTransformer3DModel, Tensor]:
    """Autoencoder, transformer and prompt without weights."""
    vae = AutoencoderKLWan.from_config(parts["vae"]).requires_grad_(False).eval()
    transformer = latent_video.sketched(WanTransformer3DModel, parts["transformer"], params)
    return vae, transformer, latent_video.empty_prompt(params.path, TEXT_TOKENS, transformer.config["text_dim"])


def read_vae(params: LatentVideoParams, device: torch.device) -> AutoencoderKLWan:
    variant = pipeline_folder.variant(params.path, "vae")
    vae = AutoencoderKLWan.from_pretrained(params.path, subfolder="vae", torch_dtype=torch.float32, variant=variant)
    return vae.requires_grad_(False).eval().to(device)


def read_transformer(
    params: LatentVideoParams, subfolder: str, lora: str, device: torch.device, others: tuple[str, ...] = ()
) -> WanTransformer3DModel:
    """A frozen transformer with the adapter ``lora`` (if any) fused; ``others`` are further ones of the pipeline."""
    transformer = WanTransformer3DModel.from_pretrained(
        params.path,
        subfolder=subfolder,
        torch_dtype=params.compute_dtype,
        variant=pipeline_folder.variant(params.path, subfolder),
    )
    if lora:
        adapters.fuse(transformer, lora, subfolder, others)
    latent_video.prepare(transformer, params, device)
    return transformer


def read_prompt(params: LatentVideoParams, device: torch.device) -> Tensor:
    """The prompt's embedding, stored or from the text encoder, which is released afterwards."""
    stored = latent_video.stored_prompt(params.path)
    return _encode_prompt(params, device) if stored is None else stored.to(device)


def _encode_prompt(params: LatentVideoParams, device: torch.device) -> Tensor:
    """UMT5 embeddings ``[1, 512, D]``, zero after the end of the prompt, as in the pipeline."""
    from transformers import AutoTokenizer, UMT5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(params.path, subfolder="tokenizer")
    encoder = UMT5EncoderModel.from_pretrained(
        params.path,
        subfolder="text_encoder",
        torch_dtype=params.compute_dtype,
        variant=pipeline_folder.variant(params.path, "text_encoder"),
    )
    encoder = encoder.to(device)  # type: ignore[arg-type]
    tokens = tokenizer(
        prompt_clean(params.prompt),  # type: ignore[no-untyped-call]
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
    """As for every pipeline, and ``shift``: flow shift of the noise schedule (3 for 480P, 5 for 720P)."""

    shift: float = Field(default=3.0, gt=0)


class Wan(LatentVideoGenerator):
    """A Wan2.1 image-to-video model from a diffusers directory or hub id, frozen."""

    Params: ClassVar[type] = WanParams
    params: WanParams
    family: ClassVar[type[WanModel]] = WanModel
    name: ClassVar[str] = "wan"

    def check(self) -> None:
        if (name := registered_name(self.params.path)) != self.name:
            raise UsageError(f"{self.params.path} belongs to another family: use {name}[path={self.params.path}]")
        if self.name != "wan_ti2v":
            transformer = WanTransformer3DModel.load_config(self.params.path, subfolder="transformer")
            vae = AutoencoderKLWan.load_config(self.params.path, subfolder="vae")
            latent, mask = vae.get("z_dim", 16), vae.get("scale_factor_temporal", 4)
            pipeline_folder.image_to_video(self.params.path, transformer["in_channels"], latent, mask)

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """``s = a u / (1 + (a - 1) u)`` for shift ``a`` and ``steps`` values of ``u``, evenly spaced down to 0.

        The first ``u`` is the one whose ``s`` is ``start``: 1 for full noise. The formula is used directly because
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
    """Name of the Wan generator that reads the pipeline at ``path``."""
    config = latent_video.pipeline_config(path)
    if config.get("expand_timesteps"):
        return "wan_ti2v"
    return "wan" if config.get("boundary_ratio") is None else "wan_experts"
