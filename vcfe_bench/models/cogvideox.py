"""CogVideoX image-to-video models (1.0 and 1.5) as generators; they predict v of a variance-preserving diffusion.

Symbols: z_s = (1 - s) z_0 + s ε is the latent of the generator interface, x_t = sqrt(ᾱ) z_0 + sqrt(1 - ᾱ) ε the latent
that the transformer was trained on, v = sqrt(ᾱ) ε - sqrt(1 - ᾱ) z_0 its prediction (Salimans and Ho 2022). The latents
are equal up to a factor where s / (1 - s) = sqrt(1 - ᾱ) / sqrt(ᾱ), which maps noise levels to time steps.

The computation follows diffusers' ``CogVideoXImageToVideoPipeline``, with one exception: the pipeline samples the first
frame's latent from the encoder's posterior; here it is the mode of the posterior, so that a frame always gives the same
condition.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from diffusers.loaders.lora_pipeline import CogVideoXLoraLoaderMixin
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video import CogVideoXImageToVideoPipeline
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models import adapters, latent_video
from vcfe_bench.models.latent_video import LatentVideoGenerator, LatentVideoParams
from vcfe_bench.models.pipeline_folder import variant
from vcfe_bench.plugins.generator import Constraints

OFFSET = 2.0
"""Second input of CogVideoX 1.5 next to the time step, the same for every video."""


def decode_in_chunks(vae: AutoencoderKLCogVideoX, latent: Tensor, run: latent_video.Run = latent_video.kept) -> Tensor:
    """``vae.decode`` of ``[B, C, t, h, w]``, two latent frames at a time (an odd one joins the first two).

    ``run`` is called for each chunk, with the chunk and the caches of the causal convolutions.
    """
    step, frames = vae.num_latent_frames_batch_size, latent.shape[2]
    ends = range(frames % step + step, frames + 1, step) if frames > step else [frames]
    cache, start, video = None, 0, []
    for end in ends:
        chunk = latent[:, :, start:end]
        if vae.post_quant_conv is not None:
            chunk = vae.post_quant_conv(chunk)
        part, cache = run(vae.decoder, chunk, None, cache)
        video.append(part)
        start = end
    return torch.cat(video, dim=2)


@dataclass(frozen=True)
class OneShape(Constraints):
    """For a model with a learned embedding of every position: only clips of ``shape`` ``(T, H, W)``."""

    shape: tuple[int, int, int]

    def violation(self, shape: tuple[int, int, int]) -> str | None:
        if shape == self.shape:
            return None
        frames, height, width = self.shape
        return (
            f"the generator makes {frames} frames of {height}x{width} only, "
            f"the dataset's videos are {shape[0]} frames of {shape[1]}x{shape[2]}"
        )


class CogVideoXCondition(NamedTuple):
    """The transformer's inputs apart from the noisy latent.

    ``image`` is ``[B, C, t, h, w]``: the first frame's latent, then zeros; all zeros without a first frame. ``rotary``
    contains cosines and sines of the positions, ``[t h w, D]`` each, for transformers that use them.
    """

    image: Tensor
    rotary: tuple[Tensor, Tensor] | None


class CogVideoXModel:
    """The networks of a CogVideoX-I2V model and the computation that connects them, trainable or frozen."""

    lora_loader: ClassVar[Any] = CogVideoXLoraLoaderMixin
    adapted = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
    """The linear layers that get low-rank adapters."""

    def __init__(
        self,
        vae: AutoencoderKLCogVideoX,
        transformer: CogVideoXTransformer3DModel,
        scheduler: CogVideoXDDIMScheduler,
        prompt: Tensor,
    ) -> None:
        if (kind := scheduler.config["prediction_type"]) != "v_prediction":
            raise UsageError(f"the model predicts '{kind}'; only CogVideoX models with v_prediction can be used")
        self.vae = vae
        self.transformer = transformer
        self.prompt = prompt
        self.device = vae.device
        self.run: latent_video.Run = latent_video.recomputed
        """What decoding stores for the backward pass."""
        with unset_fake_temporarily():  # real numbers are needed in a sketch too
            cumulated = scheduler.alphas_cumprod.double().numpy()
        signal, noise = np.sqrt(cumulated), np.sqrt(1 - cumulated)
        self.levels = noise / (signal + noise)
        """Noise level s of every time step."""
        self._pipeline = CogVideoXImageToVideoPipeline(None, None, vae, transformer, scheduler)  # type: ignore[arg-type]

    def networks(self) -> dict[str, nn.Module]:
        """All networks, by the name of their folder."""
        return {"vae": self.vae, "transformer": self.transformer}

    def buffers(self) -> dict[str, Tensor]:
        """The tensors, apart from the networks, that determine the output."""
        return {"levels": torch.from_numpy(self.levels), "prompt": self.prompt}

    def bounds(self, network: str) -> tuple[float, float]:
        """The range of noise levels for which a transformer is used."""
        return 0.0, 1.0

    @property
    def _patch_frames(self) -> int:
        """Latent frames in one token: 2 for CogVideoX 1.5, else 1."""
        return self.transformer.config["patch_size_t"] or 1

    @property
    def _sides(self) -> int:
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    def constraints(self) -> Constraints:
        config = self.transformer.config
        step = self.vae.config["temporal_compression_ratio"] * self._patch_frames
        side = self._sides * config["patch_size"]
        if config["use_learned_positional_embeddings"]:
            height, width = config["sample_height"] * self._sides, config["sample_width"] * self._sides
            return OneShape(step, side, (config["sample_frames"], height, width))
        return Constraints(step, side)

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """``(C, t, h, w)`` for a clip of ``(T, H, W)``, including the copies that fill the first token."""
        frames, height, width = shape
        latent_frames = (frames - 1) // self.vae.config["temporal_compression_ratio"] + self._patch_frames
        return self.vae.config["latent_channels"], latent_frames, height // self._sides, width // self._sides

    def encode(self, video: Tensor) -> Tensor:
        """``[B, T, 3, H, W]`` in [0, 1] to scaled latents ``[B, C, t, h, w]`` (the posterior's mode).

        CogVideoX 1.5 repeats the first latent frame to fill the first token; ``decode`` drops the copies.
        """
        latent = self._mode(video) * self.vae.config["scaling_factor"]
        return torch.cat([latent[:, :, :1]] * (self._patch_frames - 1) + [latent], dim=2)

    def _mode(self, video: Tensor) -> Tensor:
        pixels = (video.transpose(1, 2) * 2 - 1).to(self.device, self.vae.dtype)
        return self.vae.encode(pixels).latent_dist.mode().float()

    def decode(self, latent: Tensor) -> Tensor:
        """Scaled latents to ``[B, T, 3, H, W]``; differentiable."""
        hidden = 1 / self.vae.config["scaling_factor"] * latent[:, :, self._patch_frames - 1 :]
        run = self.run if torch.is_grad_enabled() and latent.requires_grad else latent_video.kept
        pixels = decode_in_chunks(self.vae, hidden.to(self.vae.dtype), run)
        return (pixels.float().transpose(1, 2) + 1) / 2

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> CogVideoXCondition:
        """The first frame's latent and the positions, as in the pipeline."""
        channels, frames, height, width = self.latent_shape(shape)
        batch = 1 if first_frame is None else len(first_frame)
        image = torch.zeros(batch, channels, frames, height, width, device=self.device)
        if first_frame is not None:
            factor = self.vae.config["scaling_factor"]
            scale = 1 / factor if self.vae.config["invert_scale_latents"] else factor
            image[:, :, :1] = scale * self._mode(first_frame[:, None])
        rotary = None
        if self.transformer.config["use_rotary_positional_embeddings"]:
            rotary = self._pipeline._prepare_rotary_positional_embeddings(*shape[1:], frames, self.device)
        return CogVideoXCondition(image, rotary)

    def constrain(self, latent: Tensor, condition: CogVideoXCondition) -> Tensor:
        """The identity: the first frame is a separate input and does not constrain the latent."""
        return latent

    def timestep(self, sigma: Tensor | float) -> np.ndarray:
        """The time step (possibly fractional) at which the transformer's noise level is ``sigma``."""
        return np.interp(np.asarray(sigma, dtype=np.float64), self.levels, np.arange(len(self.levels)))

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: CogVideoXCondition) -> Tensor:
        """Estimate of ``ε - z_0`` for float32 latents at noise level ``sigma`` (a number, or ``[B]``)."""
        batch, dtype = len(latent), self.transformer.dtype
        level = torch.as_tensor(sigma, device=latent.device).float().expand(batch).view(-1, 1, 1, 1, 1)
        length = torch.hypot(1 - level, level)
        signal, noise = (1 - level) / length, level / length
        noisy = latent / length
        inputs = torch.cat([noisy, condition.image.expand(batch, -1, -1, -1, -1)], dim=1)
        time = torch.as_tensor(self.timestep(sigma.cpu() if isinstance(sigma, Tensor) else sigma))
        v = self.transformer(
            hidden_states=inputs.transpose(1, 2).to(dtype),
            encoder_hidden_states=self.prompt.to(dtype).expand(batch, -1, -1),
            timestep=time.float().to(latent.device).expand(batch),
            ofs=None if self.transformer.config["ofs_embed_dim"] is None else latent.new_full((1,), OFFSET),
            image_rotary_emb=condition.rotary,
            return_dict=False,
        )[0]
        v = v.float().transpose(1, 2)
        return (noise * noisy + signal * v) - (signal * noisy - noise * v)

    @classmethod
    def read(cls, params: LatentVideoParams) -> CogVideoXModel:
        """The networks of a pipeline directory or hub id, frozen and in evaluation mode."""
        path, device = params.path, params.chosen_device()
        vae = AutoencoderKLCogVideoX.from_pretrained(
            path, subfolder="vae", torch_dtype=torch.float32, variant=variant(path, "vae")
        )
        vae.requires_grad_(False).eval().to(device)
        transformer = CogVideoXTransformer3DModel.from_pretrained(
            path,
            subfolder="transformer",
            torch_dtype=params.compute_dtype,
            variant=variant(path, "transformer"),
        )
        if params.lora:
            adapters.fuse(transformer, params.lora)
        latent_video.prepare(transformer, params, device)
        scheduler = CogVideoXDDIMScheduler.from_pretrained(path, subfolder="scheduler")
        prompt = latent_video.stored_prompt(path)
        if prompt is None:
            prompt = _encode_prompt(params, device, transformer.config["max_text_seq_length"])
        return cls(vae, transformer, scheduler, prompt.to(device))

    @classmethod
    def sketch(cls, params: LatentVideoParams) -> CogVideoXModel:
        """The same without weights, for use inside a ``FakeTensorMode``."""
        parts = latent_video.architecture(params.path)
        vae = AutoencoderKLCogVideoX.from_config(parts["vae"]).requires_grad_(False).eval()
        transformer = latent_video.sketched(CogVideoXTransformer3DModel, parts["transformer"], params)
        config = transformer.config
        prompt = latent_video.empty_prompt(params.path, config["max_text_seq_length"], config["text_embed_dim"])
        with unset_fake_temporarily(), torch.device("cpu"):
            scheduler = CogVideoXDDIMScheduler.from_config(parts["scheduler"])
        return cls(vae, transformer, scheduler, prompt)


def _encode_prompt(params: LatentVideoParams, device: torch.device, tokens: int) -> Tensor:
    """T5 embeddings ``[1, tokens, D]``, including padding, as in the pipeline."""
    from transformers import AutoTokenizer, T5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(params.path, subfolder="tokenizer")
    encoder = T5EncoderModel.from_pretrained(
        params.path,
        subfolder="text_encoder",
        torch_dtype=params.compute_dtype,
        variant=variant(params.path, "text_encoder"),
    )
    encoder = encoder.to(device)  # type: ignore[arg-type]
    ids = tokenizer(
        params.prompt, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        hidden = encoder(ids.to(device))[0]
    del encoder
    gc.collect()
    return hidden


class CogVideoX(LatentVideoGenerator):
    """A CogVideoX image-to-video model from a diffusers directory or hub id, frozen."""

    params: LatentVideoParams
    family = CogVideoXModel

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """Noise levels at evenly spaced ("trailing") time steps, starting from that of ``start``, then 0.

        With full noise and ``steps`` a divisor of 1000 they are those of the pipeline; fractional time steps are not
        rounded.
        """
        above = float(self.model.timestep(start)) + 1
        times = [above * (steps - k) / steps - 1 for k in range(1, steps)]
        levels = self.model.levels
        return [start, *np.interp(times, np.arange(-1, len(levels)), [0, *levels]).tolist(), 0.0]
