"""Projected gradient descent under an L2 bound (Madry et al. 2018), the adversarial baseline of the BTTF paper.

Tables 1 and 2 of the paper give only "l2-PGD, ε = 20, n = 10". What it leaves open is settled thus:

- ε bounds the change of the clip *in [0, 1] pixel values*, before the target's normalisation. Its size only means
  something per voxel: 20 over the 32×3×224² voxels that M-swin reads is a root mean square of 0.0091 (2.3 of 255). That
  ratio is kept for clips of other sizes (``size="per_voxel"``), over all frames of the video.
- The step is 2.5 ε/n, the convention of Madry's code.
- Each step moves along the normalised gradient, projects onto the ball, then clips to [0, 1].
- Counterfactuals start at the original. Robust accuracy (Table 1) is the share of videos for which
  ``pgd[random_start=true]``, which starts at a uniform draw from the ball, does not reach the goal of avoiding the true
  label; clean errors count as lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import losses
from vcfe_bench.interfaces import Context, Explanation, Method, Progress, Query

PAPER_CLIP = 32 * 3 * 224 * 224
"""Voxels of the clip that the paper's M-swin reads (Table S2)."""


@validated(frozen=True, config={"extra": "forbid"})
class PGDParams:
    """``epsilon``: radius in [0, 1] pixel units at the paper's clip size; ``steps``: n; ``rate``: step in units of ε/n.

    ``size``: ``per_voxel`` keeps the paper's root mean square change at other clip sizes, ``absolute`` takes ε as it
    is. ``random_start``: begin at a uniform draw from the ball instead of the original.
    """

    epsilon: float = Field(default=20.0, gt=0)
    steps: int = Field(default=10, ge=1)
    rate: float = Field(default=2.5, gt=0)
    size: Literal["per_voxel", "absolute"] = "per_voxel"
    random_start: bool = False

    def radius(self, voxels: int) -> float:
        """ε for a video of that many voxels."""
        return self.epsilon * math.sqrt(voxels / PAPER_CLIP) if self.size == "per_voxel" else self.epsilon


def norms(change: Tensor) -> Tensor:
    """L2 norm of each sample, shaped to broadcast against ``change`` whatever its number of dimensions."""
    return change.flatten(1).norm(dim=1).view(-1, *[1] * (change.ndim - 1))


def attack(
    loss: Callable[[Tensor], Tensor],
    videos: Tensor,
    *,
    radius: float,
    steps: int,
    rate: float,
    start: Tensor | None = None,
    each: Callable[[int, Tensor], None] = lambda step, losses: None,
) -> Tensor:
    """Descend ``loss(videos) -> [B]`` from a batch ``[B, …]`` in [0, 1], within ``radius`` of it (L2, per sample).

    ``start`` is a first perturbation, ``each(step, losses)`` is called once a step.
    """
    change = torch.zeros_like(videos) if start is None else start
    for step in range(steps):
        current = (videos + change).clamp(0, 1).requires_grad_()
        values = loss(current)
        (gradient,) = torch.autograd.grad(values.sum(), current)
        change = current.detach() - videos - rate * radius / steps * gradient / norms(gradient).clamp_min(1e-12)
        change = change * (radius / norms(change).clamp_min(1e-12)).clamp_max(1)
        change = (videos + change).clamp(0, 1) - videos
        each(step, values.detach())
    return (videos + change).clamp(0, 1)


def uniform_in_ball(shape: torch.Size, radius: float, generator: torch.Generator) -> Tensor:
    """A uniform draw from the L2 ball of ``radius`` around zero."""
    direction = torch.randn(shape, generator=generator)
    length = radius * torch.rand((), generator=generator) ** (1 / direction.numel())
    return direction / direction.norm() * length


class PGD(Method):
    """Imperceptible noise that flips the target: L2-PGD towards the goal, ε = 20 (per voxel), n = 10."""

    Params = PGDParams
    params: PGDParams
    width = 8

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        videos = torch.stack([query.sample.video for query in queries])
        goals = [query.goal for query in queries]
        radius = self.params.radius(videos[0].numel())
        start = None
        if self.params.random_start:
            start = torch.stack([uniform_in_ball(videos[0].shape, radius, q.generator("start")) for q in queries])
        trace: list[Tensor] = []

        def each(step: int, values: Tensor) -> None:
            trace.append(values)
            context.report(Progress(step + 1, self.params.steps, float(values.mean())))

        results = attack(
            lambda current: losses(goals, context.target(current)),
            videos,
            radius=radius,
            steps=self.params.steps,
            rate=self.params.rate,
            start=start,
            each=each,
        )
        return [
            Explanation(video, {"loss_goal": values.tolist()}, evaluations={"target": self.params.steps})
            for video, values in zip(results, torch.stack(trace, dim=1), strict=True)
        ]
