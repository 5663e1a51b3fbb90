"""Wan2.2-TI2V-5B: the first latent frame is fixed to the given one, and every token has its own noise level."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.models.wan import Wan, WanModel, WanParams


class WanTI2VModel(WanModel):
    """A condition is the encoded first frame ``[B, C, 1, h, w]``, or None for a video generated from text only."""

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Tensor | None:
        return None if first_frame is None else self.encode(first_frame[:, None])

    def constrain(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Set the first latent frame to the given one."""
        if condition is None:
            return latent
        return torch.cat([condition.expand(len(latent), -1, -1, -1, -1), latent[:, :, 1:]], dim=2)

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: Any) -> Tensor:
        """As the base class, with noise level 0 for the tokens of the given frame."""
        frames, height, width = latent.shape[2:]
        _, rows, columns = self.transformer.config["patch_size"]
        noisy = torch.ones(frames, height // rows, width // columns, device=latent.device)
        if condition is not None:
            noisy[0] = 0
        timestep = noisy.flatten() * self._timestep(latent, sigma)[:, None]
        return self._transform(self.transformer, self.constrain(latent, condition), timestep)


@validated(frozen=True, config={"extra": "forbid"})
class WanTI2VParams(WanParams):
    """As for ``wan``, with a default ``shift`` of 5."""

    shift: float = Field(default=5.0, gt=0)


class WanTI2V(Wan):
    """Wan2.2-TI2V-5B from a diffusers directory or hub id, frozen."""

    Params: ClassVar[type] = WanTI2VParams
    params: WanTI2VParams
    family = WanTI2VModel
    name = "wan_ti2v"
