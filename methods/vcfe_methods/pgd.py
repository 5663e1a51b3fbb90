"""Projected gradient descent (PGD) under an L2 bound (Madry et al. 2018), the adversarial baseline of the BTTF paper.

Symbols: x original video, δ perturbation, L loss of the goal, f target, ε radius of the L2 ball, n number of steps.
Tables 1 and 2 of the BTTF paper give only "l2-PGD, ε = 20, n = 10". Choices made where it is silent:

- ε bounds the perturbation of the clip *in [0, 1] pixel values*, before the target's normalisation. The meaning of its
  magnitude depends on the number of voxels: 20 over the 32×3×224² voxels that M-swin reads is a root mean square of
  0.0091 (2.3 of 255). ``size="per_voxel"`` keeps this ratio for clips of other sizes, over all frames of the video.
- The step size is 2.5 ε/n, the convention of Madry's code.
- Each step follows the normalised gradient, projects onto the ball, then clips to [0, 1].
- Counterfactuals start at the original. Robust accuracy (Table 1) is the share of videos for which
  ``pgd[random_start=true]``, which starts at a uniform sample from the ball, does not meet the goal of avoiding the
  true label; misclassified originals count as errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import losses
from vcfe_bench.interfaces import (
    Context,
    Explanation,
    IntegerRange,
    Method,
    Options,
    Progress,
    Query,
    RealRange,
    SearchSpace,
)
from vcfe_methods.budget import require

PAPER_CLIP = 32 * 3 * 224 * 224
"""Voxels of the clip that the paper's M-swin reads (Table S2)."""


@validated(frozen=True, config={"extra": "forbid"})
class PGDParams:
    """Hyper-parameters.

    ``epsilon``: ε, in [0, 1] pixel values, for the paper's clip size. ``steps``: n. ``rel_stepsize``: step size in
    units of ε/n. ``size``: ``per_voxel`` rescales ε to keep the paper's root mean square perturbation at other clip
    sizes, ``absolute`` uses ε as given. ``random_start``: start at a uniform sample from the ball instead of the
    original.
    """

    epsilon: float = Field(default=20.0, gt=0)
    steps: int = Field(default=10, ge=1)
    rel_stepsize: float = Field(default=2.5, gt=0)
    size: Literal["per_voxel", "absolute"] = "per_voxel"
    random_start: bool = False

    def radius(self, voxels: int) -> float:
        """ε for a video with this number of voxels."""
        return self.epsilon * math.sqrt(voxels / PAPER_CLIP) if self.size == "per_voxel" else self.epsilon


def norms(perturbation: Tensor) -> Tensor:
    """L2 norm of each sample of ``[B, …]``, with as many dimensions as ``perturbation`` for broadcasting."""
    return perturbation.flatten(1).norm(dim=1).view(-1, *[1] * (perturbation.ndim - 1))


def attack(
    loss: Callable[[Tensor], Tensor],
    videos: Tensor,
    *,
    radius: float,
    steps: int,
    stepsize: float,
    start: Tensor | None = None,
    each: Callable[[int, Tensor], None] = lambda step, losses: None,
) -> Tensor:
    """Minimise ``loss(videos) -> [B]`` over videos ``[B, …]`` in [0, 1] within ``radius`` of the given ones (L2).

    ``start`` is an initial perturbation; ``each(step, losses)`` is called once per step.
    """
    delta = torch.zeros_like(videos) if start is None else start
    for step in range(steps):
        current = (videos + delta).clamp(0, 1).requires_grad_()
        values = loss(current)
        (gradient,) = torch.autograd.grad(values.sum(), current)  # g = ∇L(f(x + δ))
        delta = current.detach() - videos - stepsize * gradient / norms(gradient).clamp_min(1e-12)  # descent
        delta = delta * (radius / norms(delta).clamp_min(1e-12)).clamp_max(1)  # projection
        delta = (videos + delta).clamp(0, 1) - videos  # x + δ in [0, 1]
        each(step, values.detach())
    return (videos + delta).clamp(0, 1)


def uniform_in_ball(shape: torch.Size, radius: float, generator: torch.Generator) -> Tensor:
    """A uniform sample from the L2 ball of ``radius`` around zero."""
    direction = torch.randn(shape, generator=generator)
    length = radius * torch.rand((), generator=generator) ** (1 / direction.numel())
    return direction / direction.norm() * length


class PGD(Method):
    """L2-PGD towards the goal, ε = 20 (per voxel), n = 10: imperceptible noise that flips the target."""

    Params = PGDParams
    params: PGDParams
    search_space: ClassVar[SearchSpace] = {
        "epsilon": RealRange(2.0, 200.0, log=True),
        "steps": IntegerRange(3, 100, log=True),
        "rel_stepsize": RealRange(0.5, 5.0, log=True),
        "random_start": Options((False, True)),
    }
    width = 8

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        p = self.params
        require(context.calls, range(len(queries)), context.calls.cost("target", forwards=p.steps, backwards=p.steps))
        videos = torch.stack([query.sample.video for query in queries])
        goals = [query.goal for query in queries]
        radius = p.radius(videos[0].numel())
        start = None
        if p.random_start:
            start = torch.stack([uniform_in_ball(videos[0].shape, radius, q.generator("start")) for q in queries])
        trace: list[Tensor] = []

        def each(step: int, values: Tensor) -> None:
            trace.append(values)
            context.report(Progress(step + 1, p.steps, float(values.mean())))

        results = attack(
            lambda current: losses(goals, context.target(current)),
            videos,
            radius=radius,
            steps=p.steps,
            stepsize=p.rel_stepsize * radius / p.steps,
            start=start,
            each=each,
        )
        return [
            Explanation(video, {"loss_goal": values.tolist()})
            for video, values in zip(results, torch.stack(trace, dim=1), strict=True)
        ]
