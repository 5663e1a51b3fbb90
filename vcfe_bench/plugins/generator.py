"""Generators: image-to-video flow-matching models in a latent space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vcfe_bench.plugins.base import Plugin


@dataclass(frozen=True)
class Constraints:
    """Clip shapes a generator supports: ``frames % frame_step == 1 % frame_step``, sides multiples of ``side_step``."""

    frame_step: int
    side_step: int

    def violation(self, shape: tuple[int, int, int]) -> str | None:
        """The reason why a clip of ``(T, H, W)`` is not supported, or None."""
        frames, height, width = shape
        if frames % self.frame_step != 1 % self.frame_step:
            return f"the generator makes {self.frame_step}k+1 frames, the dataset's videos have {frames}"
        if height % self.side_step or width % self.side_step:
            return (
                f"the generator needs sides that are multiples of {self.side_step}, "
                f"the dataset's videos are {height}x{width}"
            )
        return None


class Generator(Plugin, ABC):
    """An image-to-video flow-matching model in a latent space; frozen.

    The flow runs from data (s = 0) to noise (s = 1): ``z_s = (1 - s) z_0 + s ε``, and ``velocity`` estimates
    ``ε - z_0``. Latents are float32 ``[B, C, t, h, w]``, normalised to approximately zero mean and unit variance.
    """

    constraints: Constraints
    keeps_graph: bool = False
    """Whether memory suffices for the graph of all denoising steps; if not, each is computed again for its gradient."""

    @abstractmethod
    def encode(self, video: Tensor) -> Tensor:
        """Latents of videos ``[B, T, 3, H, W]`` in [0, 1]: the mode of the encoder, normalised."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Videos ``[B, T, 3, H, W]`` from latents, on the [0, 1] scale but *not* clamped; differentiable."""

    @abstractmethod
    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
        """The conditioning for a clip of ``(T, H, W)``: first frames ``[B, 3, H, W]``, or None for unconditional."""

    @abstractmethod
    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        """Estimate of ``ε - z_0`` at noise level ``sigma`` in [0, 1]; differentiable in ``latent``."""

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        """Overwrite the part of a latent that the condition fixes; by default there is none."""
        return latent

    @abstractmethod
    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """Noise levels of ``steps`` Euler steps: ``steps + 1`` decreasing values from ``start`` in (0, 1] to 0."""

    @abstractmethod
    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """``(C, t, h, w)`` of the latent of a clip of ``(T, H, W)``."""

    def networks(self) -> Mapping[str, nn.Module]:
        """The networks that compute the above, by name; a run watches that none is called without being charged."""
        return {}

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of weights and settings, part of the identity of every record."""
