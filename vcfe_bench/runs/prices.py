"""Prices of the calls of a run's networks, by their floating-point operations."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vcfe_bench.core.meter import measure
from vcfe_bench.plugins.calls import Network
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target


class Prices:
    """Price of a forward pass on one row, a ``plugins.calls.Price``.

    It is the number of floating-point operations divided by that of one velocity on a video of ``shape``, or by that of
    the target without a generator. Where that has none that can be counted, every call costs 1. Each network is run
    once, without gradients, for each shape of a row.
    """

    def __init__(self, target: Target, generator: Generator | None, shape: tuple[int, int, int]) -> None:
        self.target = target
        self.generator = generator
        self.shape = shape
        self._flops: dict[tuple[Network, tuple[int, ...]], int] = {}

    def __call__(self, network: Network, row: tuple[int, ...] | None) -> float:
        unit = self.flops("velocity" if self.generator else "target", None)
        return self.flops(network, row) / unit if unit else 1.0

    def flops(self, network: Network, row: tuple[int, ...] | None) -> int:
        """Floating-point operations of a forward pass of a network on one row."""
        key = network, self._video_row(network) if row is None else row
        if key not in self._flops:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                self._flops[key] = measure(self._call(*key)).flops
        return self._flops[key]

    def _video_row(self, network: Network) -> tuple[int, ...]:
        frames, height, width = self.shape
        if network in ("velocity", "decode"):
            assert self.generator is not None
            return self.generator.latent_shape(self.shape)
        return self.shape if network == "condition" else (frames, 3, height, width)

    def _call(self, network: Network, row: tuple[int, ...]) -> Callable[[], object]:
        if network == "target":
            return lambda: self.target(torch.zeros(1, *row))
        generator = self.generator
        assert generator is not None
        match network:
            case "encode":
                return lambda: generator.encode(torch.zeros(1, *row))
            case "decode":
                return lambda: generator.decode(torch.zeros(1, *row))
            case "condition":
                frames, height, width = row
                return lambda: generator.condition(torch.zeros(1, 3, height, width), (frames, height, width))
        condition = generator.condition(None, self._clip(generator, row))
        return lambda: generator.velocity(torch.zeros(1, *row), 0.5, condition)

    def _clip(self, generator: Generator, latent: tuple[int, ...]) -> tuple[int, int, int]:
        """``(T, H, W)`` of the clip that a latent ``(C, t, h, w)`` stands for."""
        _, height, width = self.shape
        _, _, rows, columns = generator.latent_shape(self.shape)
        sides = latent[2] * height // rows, latent[3] * width // columns
        frames = 1
        while generator.latent_shape((frames, *sides))[1] < latent[1]:
            frames += generator.constraints.frame_step
        return frames, *sides
