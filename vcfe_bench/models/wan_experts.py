"""Wan2.2-I2V-A14B: two transformers of Wan2.1's shape, one for high noise and one for low, and no CLIP embedding."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.models import latent_video
from vcfe_bench.models.wan import Wan, WanModel, WanParams, read_prompt, read_transformer, read_vae, sketch_networks


class WanExpertsModel(WanModel):
    """As Wan2.1, with two transformers: ``transformer`` for noise levels ≥ ``boundary``, ``transformer_2`` below."""

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        transformer_2: WanTransformer3DModel,
        prompt: Tensor,
        boundary: float,
    ) -> None:
        super().__init__(vae, transformer, prompt)
        self.transformer_2 = transformer_2
        self.boundary = boundary

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), "transformer_2": self.transformer_2}

    def buffers(self) -> dict[str, Tensor]:
        return {**super().buffers(), "boundary": torch.tensor(self.boundary)}

    def bounds(self, network: str) -> tuple[float, float]:
        return (self.boundary, 1.0) if network == "transformer" else (0.0, self.boundary * (1 - 1e-6))

    def _expert(self, sigma: Tensor | float) -> WanTransformer3DModel:
        """The expert for this noise level.

        Raises:
            ValueError: the levels lie on both sides of the boundary.
        """
        levels = np.asarray(sigma.cpu() if isinstance(sigma, Tensor) else sigma, dtype=np.float32)
        early = levels * np.float32(1000) >= self.boundary * 1000
        if early.any() and not early.all():
            raise ValueError(f"the noise levels of a batch lie on both sides of the boundary {self.boundary}")
        return self.transformer if early.all() else self.transformer_2

    @classmethod
    def read(cls, params: Any) -> WanExpertsModel:
        device = params.chosen_device()
        return cls(
            read_vae(params, device),
            read_transformer(params, "transformer", params.lora, device, ("transformer_2",)),
            read_transformer(params, "transformer_2", params.lora_2, device, ("transformer",)),
            read_prompt(params, device),
            latent_video.pipeline_config(params.path)["boundary_ratio"],
        )

    @classmethod
    def sketch(cls, params: Any) -> WanExpertsModel:
        parts = latent_video.architecture(params.path)
        index = parts.get("model_index") or latent_video.pipeline_config(params.path)
        vae, transformer, prompt = sketch_networks(parts, params)
        second = latent_video.sketched(WanTransformer3DModel, parts["transformer_2"], params)
        return cls(vae, transformer, second, prompt, index["boundary_ratio"])


@validated(frozen=True, config={"extra": "forbid"})
class WanExpertsParams(WanParams):
    """As for ``wan``; ``lora`` is for the high-noise expert, ``lora_2`` for the low-noise expert."""

    lora_2: str = ""


class WanExperts(Wan):
    """Wan2.2-I2V-A14B from a diffusers directory or hub id, frozen: a high-noise and a low-noise expert."""

    Params: ClassVar[type] = WanExpertsParams
    params: WanExpertsParams
    family = WanExpertsModel
    name = "wan_experts"
