"""A small generator of a nonlinear flow. It computes in float64, so that its float32 results are reproducible."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vcfe_bench.plugins.generator import Constraints, Generator

LATENT_CHANNELS = 2


class ToyGenerator(Generator):
    """Latents have half the sides of the clip and two channels; the first frame pulls them towards its brightness."""

    constraints = Constraints(1, 2)
    fingerprint = "toy"
    spec = "toy"

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.mix = torch.randn(LATENT_CHANNELS, LATENT_CHANNELS, 3, 3, 3, generator=random).double() / 4
        self.colours = torch.randn(LATENT_CHANNELS, 3, generator=random).double() / 4

    def encode(self, video):
        small = F.avg_pool3d(video.double().transpose(1, 2), (1, 2, 2)) - 0.5
        return (torch.einsum("bcthw,zc->bzthw", small, self.colours) * 4).float()

    def decode(self, latent):
        pixels = torch.einsum("bzthw,zc->btchw", latent.double(), self.colours) + 0.5
        return F.interpolate(pixels.float().flatten(0, 1), scale_factor=2).unflatten(0, pixels.shape[:2])

    def condition(self, first_frame, shape):
        return torch.zeros(1, 1, 1, 1, 1) if first_frame is None else first_frame.mean((1, 2, 3)).view(-1, 1, 1, 1, 1)

    def velocity(self, latent, sigma, condition):
        mixed = torch.tanh(F.conv3d(latent.double(), self.mix, padding=1) + sigma)
        return (mixed + latent / 2 - condition).float()

    def sigmas(self, steps, start=1.0):
        return [start * (1 - k / steps) for k in range(steps + 1)]

    def latent_shape(self, shape):
        frames, height, width = shape
        return LATENT_CHANNELS, frames, height // 2, width // 2
