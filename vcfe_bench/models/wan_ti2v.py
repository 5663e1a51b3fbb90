"""Wan2.2-TI2V-5B: the first latent frame is given as it is, and every token has a noise level of its own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.models.wan import Wan, WanModel, WanParams


class WanTI2VModel(WanModel):
    """A condition is the encoded first frame ``[B, C, 1, h, w]``, or None where the video is made of the text alone."""

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Tensor | None:
        return None if first_frame is None else self.encode(first_frame[:, None])

    def constrain(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """The first latent frame is the given one."""
        if condition is None:
            return latent
        return torch.cat([condition.expand(len(latent), -1, -1, -1, -1), latent[:, :, 1:]], dim=2)

    def velocity(self, latent: Tensor, sigma: Tensor | float, condition: Any) -> Tensor:
        """As the base class; the tokens of the given frame are told that they hold no noise."""
        frames, height, width = latent.shape[2:]
        _, rows, columns = self.transformer.config["patch_size"]
        noisy = torch.ones(frames, height // rows, width // columns, device=latent.device)
        if condition is not None:
            noisy[0] = 0
        timestep = noisy.flatten() * self._timestep(latent, sigma)[:, None]
        return self._transform(self.transformer, self.constrain(latent, condition), timestep)


@validated(frozen=True, config={"extra": "forbid"})
class WanTI2VParams(WanParams):
    """As for ``wan``; ``shift`` is 5."""

    shift: float = Field(default=5.0, gt=0)


class WanTI2V(Wan):
    """Wan2.2-TI2V-5B from a diffusers directory or hub id, frozen."""

    Params: ClassVar[type] = WanTI2VParams
    params: WanTI2VParams
    family = WanTI2VModel
    name = "wan_ti2v"
