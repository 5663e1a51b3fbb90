"""The networks that a method gets from the harness: they charge every call to the queries that it is made for.

The wrapped networks are held in closures, so that no attribute of a wrapper leads to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vcfe_bench.plugins.calls import Calls
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context
from vcfe_bench.plugins.target import Features, FeatureTarget, Target


def counted(context: Context, calls: Calls) -> Context:
    """The same context with networks that charge their calls to the accounts of ``calls``."""
    target = context.target
    wrapped = CountedFeatureTarget(target, calls) if isinstance(target, FeatureTarget) else CountedTarget(target, calls)
    generator = context.generator and CountedGenerator(context.generator, calls)
    return replace(context, target=wrapped, generator=generator, calls=calls)


class CountedTarget(Target):
    """A target that charges its calls. It has no parameters of its own and does not give access to those within."""

    _forward: Callable[[Tensor], Tensor]
    _place: Callable[[], torch.device]
    _identity: Callable[[], str]

    def __init__(self, target: Target, calls: Calls) -> None:
        super().__init__(target.params)
        self.spec, self.classes, self.clip = target.spec, target.classes, target.clip
        self.eval()

        def forward(video: Tensor) -> Tensor:
            with calls.charged("target", len(video), tuple(video.shape[1:])) as charge:
                return charge.returned(target(video))[0]

        self._forward = forward
        self._place = lambda: target.device
        self._identity = lambda: target.fingerprint

    def forward(self, video: Tensor) -> Tensor:
        return self._forward(video)

    @property
    def device(self) -> torch.device:
        return self._place()

    @property
    def fingerprint(self) -> str:
        return self._identity()


class CountedFeatureTarget(CountedTarget, FeatureTarget):
    """A target with mid-level features that charges its calls."""

    _features: Callable[[Tensor], Features]

    def __init__(self, target: FeatureTarget, calls: Calls) -> None:
        super().__init__(target, calls)

        def features(video: Tensor) -> Features:
            with calls.charged("target", len(video), tuple(video.shape[1:])) as charge:
                found = target.extract(video)
                *scales, output = charge.returned(*found.scales, found.output)
                return Features(tuple(scales), found.steps, output)

        self._features = features

    def features(self, video: Tensor) -> Features:
        return self._features(video)


class CountedGenerator(Generator):
    """A generator that charges its calls."""

    _constrain: Callable[[Tensor, Any], Tensor]
    _sigmas: Callable[[int, float], list[float]]
    _latent_shape: Callable[[tuple[int, int, int]], tuple[int, int, int, int]]
    _identity: Callable[[], str]

    def __init__(self, generator: Generator, calls: Calls) -> None:
        super().__init__(generator.params)
        self.spec, self.constraints, self.keeps_graph = generator.spec, generator.constraints, generator.keeps_graph

        def encode(video: Tensor) -> Tensor:
            with calls.charged("encode", len(video), tuple(video.shape[1:])) as charge:
                return charge.returned(generator.encode(video))[0]

        def decode(latent: Tensor) -> Tensor:
            with calls.charged("decode", len(latent), tuple(latent.shape[1:])) as charge:
                return charge.returned(generator.decode(latent))[0]

        def condition(first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
            if first_frame is None:
                with calls.free():
                    return generator.condition(None, shape)
            with calls.charged("condition", len(first_frame), shape):
                return generator.condition(first_frame, shape)

        def velocity(latent: Tensor, sigma: float, condition: Any) -> Tensor:
            with calls.charged("velocity", len(latent), tuple(latent.shape[1:])) as charge:
                return charge.returned(generator.velocity(latent, sigma, condition))[0]

        self._encode, self._decode, self._condition, self._velocity = encode, decode, condition, velocity
        self._constrain = lambda latent, condition: generator.constrain(latent, condition)
        self._sigmas = lambda steps, start: generator.sigmas(steps, start)
        self._latent_shape = lambda shape: generator.latent_shape(shape)
        self._identity = lambda: generator.fingerprint

    def encode(self, video: Tensor) -> Tensor:
        return self._encode(video)

    def decode(self, latent: Tensor) -> Tensor:
        return self._decode(latent)

    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
        """As for every generator. Without first frames it is the same for all videos, and charged to no query."""
        return self._condition(first_frame, shape)

    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        return self._velocity(latent, sigma, condition)

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        return self._constrain(latent, condition)

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        return self._sigmas(steps, start)

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        return self._latent_shape(shape)

    @property
    def fingerprint(self) -> str:
        return self._identity()
