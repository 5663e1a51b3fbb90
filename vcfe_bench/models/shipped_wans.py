"""The small Wan models that ship with the package; their pipelines and cards are in ``zoo``."""

from __future__ import annotations

import functools
from typing import ClassVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.core.weights import ZOO
from vcfe_bench.models.wan import Wan, WanParams

EPSILON = 1e-12
"""Smallest length by which ``torch.nn.functional.normalize`` divides."""


@validated(frozen=True, config={"extra": "forbid"})
class ShippedWanParams:
    """``lora``: adapter file or directory, fused before use. ``shift``: flow shift of the noise schedule."""

    lora: str = ""
    shift: float = Field(default=3.0, gt=0)


def channel_norm(norm: WanRMS_norm, hidden: Tensor) -> Tensor:
    """``norm(hidden)`` for ``[B, C, …]``, in fewer passes over memory, which is what bounds it on a CPU."""
    scale = torch.rsqrt(hidden.square().sum(dim=1, keepdim=True).clamp_min(EPSILON**2)) * norm.scale
    return hidden * scale * norm.gamma + norm.bias


class _ShippedWan(Wan):
    Params = ShippedWanParams
    keeps_graph = True
    folder: ClassVar[str]

    def __init__(self, params: ShippedWanParams | None = None) -> None:
        super().__init__(self.full(params or ShippedWanParams()))
        for module in self.model.vae.modules():
            if isinstance(module, WanRMS_norm):
                module.forward = functools.partial(channel_norm, module)  # type: ignore[method-assign]

    @classmethod
    def full(cls, params: ShippedWanParams) -> WanParams:
        return WanParams(
            path=str(ZOO / cls.folder),
            lora=params.lora,
            shift=params.shift,
            dtype="float32",
            activations="keep",
            device="cpu",
        )


class WanShapeMoving(_ShippedWan):
    """A small Wan trained from scratch on Shape-Moving's training split."""

    folder = "wan_shape_moving"


class WanShapeShortcut(_ShippedWan):
    """The Wan of Shape-Moving, fine-tuned on Shape-Shortcut with independent motions of object and distractor."""

    folder = "wan_shape_shortcut"


class WanShapeCrowd(_ShippedWan):
    """A small Wan for Shape-Crowd, with an autoencoder that Shape-Moving and Shape-Shortcut share."""

    folder = "wan_shape_crowd"


class WanEchoPhantom(_ShippedWan):
    """The Wan of Shape-Moving, fine-tuned on the echo phantom."""

    folder = "wan_echo_phantom"
