"""A small convolutional target, a light meter, and a generator that averages blocks of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.core.weights import fill, read
from vcfe_bench.interfaces import Constraints, Generator, Target


@validated(frozen=True, config={"extra": "forbid"})
class ConvParams:
    """``version`` stands for the weights, unless they are read from a file."""

    version: int = 1
    weights: str = ""


class Conv(Target):
    """Brightness of the thirds, after a convolution."""

    Params = ConvParams
    params: ConvParams
    classes = ("left", "middle", "right")

    def __init__(self, params: ConvParams | None = None) -> None:
        super().__init__(params)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        if self.params.weights:
            fill(self, read(Path(self.params.weights)), self.params.weights)
            return
        weights = torch.rand(self.conv.weight.shape, generator=torch.Generator().manual_seed(self.params.version))
        self.conv.weight.data, self.conv.bias.data = weights, torch.zeros(8)

    def forward(self, video: Tensor) -> Tensor:
        features = self.conv(video.flatten(0, 1)).unflatten(0, video.shape[:2])
        return 4 * F.adaptive_avg_pool2d(features.mean(dim=1), (1, 3)).mean(dim=1).squeeze(1)

    @property
    def fingerprint(self) -> str:
        return f"conv-{self.params.version}"


class Blocks(Generator):
    """Means of 2×2 blocks and back; no motion at all."""

    constraints = Constraints(frame_step=4, side_step=2)

    def encode(self, video: Tensor) -> Tensor:
        return F.avg_pool3d(video.transpose(1, 2), (1, 2, 2))

    def decode(self, latent: Tensor) -> Tensor:
        return F.interpolate(latent, scale_factor=(1, 2, 2)).transpose(1, 2)

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
        return None

    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        return torch.zeros_like(latent)

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        return torch.linspace(start, 0, steps + 1).tolist()

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        frames, height, width = shape
        return 3, frames, height // 2, width // 2

    @property
    def fingerprint(self) -> str:
        return "blocks"


class Meter(Target):
    """Brightness in percent."""

    def forward(self, video: Tensor) -> Tensor:
        return 100 * video.mean(dim=(1, 2, 3, 4))[:, None]

    @property
    def fingerprint(self) -> str:
        return "meter"
