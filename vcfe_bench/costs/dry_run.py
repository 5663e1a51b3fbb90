"""Dry run of a method on stand-in networks that count their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.setup import Setup

Clip = tuple[int, int, int]


@dataclass(frozen=True)
class Call:
    """A kind of call on clips of ``frames``: ``velocity``, ``decode``, ``encode``, ``condition`` or ``target``."""

    network: str
    frames: int


@dataclass
class Tally:
    """Per kind of call, the videos in forward and in backward passes, and the largest batch."""

    forward: Counter[Call] = field(default_factory=Counter)
    backward: Counter[Call] = field(default_factory=Counter)
    batch: dict[Call, int] = field(default_factory=dict)

    def count(self, tensor: Tensor, call: Call) -> Tensor:
        """Count the rows of ``tensor`` now and in the backward pass; returns a copy of ``tensor``."""
        self.batch[call] = max(self.batch.get(call, 0), len(tensor))
        return _Counted.apply(tensor, self, call)


class _Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, tally: Tally, call: Call) -> Tensor:
        ctx.tally, ctx.call = tally, call
        tally.forward[call] += len(tensor)
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        ctx.tally.backward[ctx.call] += len(gradients[0])
        return gradients[0], None, None


class CountingGenerator(Generator):
    """Counts its calls. Latent shapes and noise levels are those of ``real``; frames are ``side`` × ``side``."""

    def __init__(self, real: Generator, tally: Tally, side: int) -> None:
        super().__init__()
        self.real = real
        self.constraints, self.keeps_graph = real.constraints, real.keeps_graph
        self.tally = tally
        self.side = side

    def encode(self, video: Tensor) -> Tensor:
        video = self.tally.count(video, Call("encode", video.shape[1]))
        size = self.latent_shape((video.shape[1], *video.shape[3:]))
        latent = F.adaptive_avg_pool3d(video.mean(dim=2)[:, None], size[1:])
        return latent.expand(-1, size[0], -1, -1, -1).clone()

    def decode(self, latent: Tensor) -> Tensor:
        frames = self._frames(latent)
        latent = self.tally.count(latent, Call("decode", frames))
        video = F.interpolate(latent.mean(dim=1, keepdim=True), (frames, self.side, self.side))
        return video.transpose(1, 2).expand(-1, -1, 3, -1, -1)

    def condition(self, first_frame: Tensor | None, shape: Clip) -> None:
        self.tally.count(torch.zeros(1 if first_frame is None else len(first_frame)), Call("condition", shape[0]))

    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        return self.tally.count(latent, Call("velocity", self._frames(latent))) / 2

    def _frames(self, latent: Tensor) -> int:
        """Number of video frames that a latent stands for."""
        frames = 1
        while self.latent_shape((frames, self.side, self.side))[1] < latent.shape[2]:
            frames += self.constraints.frame_step
        return frames

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        return self.real.sigmas(steps, start)

    def latent_shape(self, shape: Clip) -> tuple[int, int, int, int]:
        return self.real.latent_shape(shape)

    @property
    def fingerprint(self) -> str:
        return "counting"


class CountingTarget(Target):
    """Counts its calls; its output for any video is close to ``output`` ``[K]``, and differentiable."""

    def __init__(self, output: Sequence[float], tally: Tally) -> None:
        super().__init__()
        self.output = torch.tensor(output)
        self.tally = tally

    def forward(self, video: Tensor) -> Tensor:
        brightness = self.tally.count(video, Call("target", video.shape[1])).flatten(1).mean(dim=1)
        return self.output + 1e-3 * brightness[:, None] * torch.arange(1, len(self.output) + 1)

    @property
    def fingerprint(self) -> str:
        return "counting"


def dry_run(method: Method, setup: Setup, generator: Generator | None, frames: int) -> Tally:
    """Run a method on one micro-batch of clips of ``frames``, with counting networks that never meet the goal.

    Raises:
        Exception: any exception of the method.
    """
    tally = Tally()
    side = 2 * generator.constraints.side_step if generator else setup.dataset.shape[1]
    output, goal = unmet(setup)
    sample = setup.dataset.sample(setup.request.split, 0)
    indices = torch.linspace(0, len(sample.video) - 1, frames).round().long()
    sample = replace(sample, video=F.interpolate(sample.video[indices], (side, side)))
    counting = CountingGenerator(generator, tally, side) if generator and method.needs_generator else None
    context = Context(setup.dataset, CountingTarget(output, tally), counting)
    method.run([Query(sample, goal, seed=0)] * method.width, context)
    return tally


def unmet(setup: Setup) -> tuple[list[float], Goal]:
    """An output of the target, and a goal that it does not meet."""
    values = setup.dataset.values
    if setup.classes or values is None:
        return [10.0, *[0.0] * (len(setup.classes) - 1)], ClassGoal(1)
    return [values.low], ValueGoal(values.high, values.tolerance)
