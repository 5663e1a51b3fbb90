"""Random draws of the noise where the target looks; elsewhere, the noise is that of the original. A method of ours.

``random_draws`` and ``nearest_draw`` sample the whole noise, so that everything but the first frame is left to chance.
The noise of a video model is local, however: a part of the frame follows from the noise there. This method

1. inverts the sampler: z_T* is the noise that N steps turn into the original (``diffusion.invert``),
2. takes the gradient of the goal's loss by the latent of the original, once, and marks the ``area`` of the frame where
   it is largest, in all frames,
3. draws noise inside the area and keeps z_T* outside of it, as often as the budget allows,
4. returns, of the draws that meet the goal, the nearest to the original by L1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.diffusion import invert
from vcfe_bench.interfaces import Calls, Context, IntegerRange, Query, RealRange, SearchSpace
from vcfe_methods.random_draws import DrawParams, NearestDraw


@validated(frozen=True, config={"extra": "forbid"})
class LocalDrawParams(DrawParams):
    """``area``: share of the frame in which noise is drawn. ``rounds``: iterations per step of the inversion.

    ``steps`` and ``draws`` are those of ``random_draws``.
    """

    area: float = Field(default=0.15, gt=0, le=1)
    rounds: int = Field(default=3, ge=1)


def area_of_interest(gradient: Tensor, share: float) -> Tensor:
    """Where a gradient ``[1, C, t, h, w]`` is largest: bool ``[h, w]``, true in a ``share`` of its cells, at least one.

    Magnitudes are summed over channels and frames, and averaged over 3 × 3 cells.
    """
    magnitude = gradient.abs().sum(dim=(0, 1, 2))
    smooth = F.avg_pool2d(magnitude[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    chosen = smooth.flatten().topk(max(1, round(share * smooth.numel()))).indices
    return torch.zeros(smooth.numel(), dtype=torch.bool).index_fill(0, chosen.cpu(), True).view_as(smooth)


class LocalDraws(NearestDraw):
    """The nearest of random draws whose noise is that of the original except where the target looks; ours."""

    Params = LocalDrawParams
    params: LocalDrawParams
    search_space: ClassVar[SearchSpace] = {
        "steps": IntegerRange(2, 15),
        "area": RealRange(0.03, 0.6, log=True),
        "rounds": IntegerRange(1, 6),
    }

    def preparation(self, calls: Calls) -> float:
        inversion = calls.cost("velocity", forwards=self.params.steps * self.params.rounds)
        return calls.cost("encode") + calls.cost("decode", backwards=1) + calls.cost("target", backwards=1) + inversion

    def source(self, query: Query, context: Context, condition: Any) -> Callable[[Tensor], Tensor]:
        generator = context.generator
        assert generator is not None
        latent = generator.encode(query.sample.video[None])
        with torch.enable_grad():
            leaf = latent.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(query.goal.loss(context.target(generator.decode(leaf))).sum(), leaf)
        area = area_of_interest(gradient, self.params.area)
        inverted = invert(generator, latent, condition, self.params.steps, self.params.rounds)
        return lambda noise: torch.where(area, noise, inverted)
