"""Chance: videos that the generator makes of random noise, without any gradient.

Each draw takes noise z_T from N(0, I), denoises it on the first frame of the original in N steps, and asks the target
about the video as it will be stored (clamped, rounded to 8 bits). What a method adds to its generator is the
difference to these rows at the same budget.

- ``random_draws`` returns the first draw that meets the goal.
- ``nearest_draw`` returns, of all affordable draws that meet the goal, the nearest to the original by L1.

If no draw meets the goal, both return the draw with the lowest goal loss.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.diffusion import denoise
from vcfe_bench.interfaces import Calls, Context, Explanation, IntegerRange, Method, Progress, Query, SearchSpace
from vcfe_methods.budget import require
from vcfe_methods.stored import as_stored


@validated(frozen=True, config={"extra": "forbid"})
class DrawParams:
    """There is nothing to tune but ``steps`` of ``nearest_draw``, of which fewer leave more draws to choose from.

    ``steps``: N, that of ``bttf``. ``draws``: largest number of draws if there is no budget; with a budget, draws are
    made as long as it lasts.
    """

    steps: int = Field(default=4, ge=1)
    draws: int = Field(default=64, ge=1)


@dataclass(frozen=True)
class Draw:
    """A video ``[T, 3, H, W]`` as it will be stored, its goal loss, whether it meets the goal, and its L1 distance."""

    video: Tensor
    goal_loss: float
    met: bool
    distance: float


class Draws(Method):
    """Random draws. Subclasses choose one of them."""

    Params = DrawParams
    params: DrawParams
    needs_generator = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {"embedded": {}, "paper": {"steps": 15}}

    stops_at_success: ClassVar[bool]
    """Whether no further draw is made once one meets the goal."""

    @staticmethod
    @abstractmethod
    def rank(draw: Draw) -> tuple[float, ...]:
        """Sort key by which the result is the smallest of all draws; of equal draws, it is the first."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [self._explain(row, query, context) for row, query in enumerate(queries)]

    def _explain(self, row: int, query: Query, context: Context) -> Explanation:
        best: Draw | None = None
        trace: dict[str, list[float]] = {"goal_loss": [], "met": [], "L1": []}
        with context.rows([row]):
            for draw in self._draws(row, query, context):
                best = draw if best is None else min(best, draw, key=self.rank)
                for series, value in zip(trace.values(), (draw.goal_loss, float(draw.met), draw.distance), strict=True):
                    series.append(value)
                if draw.met and self.stops_at_success:
                    break
        assert best is not None
        return Explanation(best.video, trace)

    def preparation(self, calls: Calls) -> float:
        """Price of ``source`` for one video, apart from the condition."""
        return 0.0

    def source(self, query: Query, context: Context, condition: Any) -> Callable[[Tensor], Tensor]:
        """What turns Gaussian noise ``[1, C, t, h, w]`` into the z_T of a draw; by default nothing."""
        return lambda noise: noise

    @torch.no_grad()
    def _draws(self, row: int, query: Query, context: Context) -> Iterator[Draw]:
        generator, calls = context.generator, context.calls
        assert generator is not None
        each = calls.cost("velocity", forwards=self.params.steps) + calls.cost("decode") + calls.cost("target")
        require(calls, [row], calls.cost("condition") + self.preparation(calls) + each)
        original = as_stored(query.sample.video)
        frames, _, height, width = original.shape
        clip = frames, height, width
        condition = generator.condition(query.sample.video[:1], clip)
        source = self.source(query, context, condition)
        random = query.generator("noise")
        unlimited = math.isinf(calls.left(row))
        made = 0
        while made < self.params.draws if unlimited else calls.left(row) >= each:
            z_T = source(torch.randn(1, *generator.latent_shape(clip), generator=random))
            video = as_stored(generator.decode(denoise(generator, z_T, condition, self.params.steps)))
            output = context.target(video)
            made += 1
            goal_loss = query.goal.loss(output).item()
            most = self.params.draws if unlimited else made + int(calls.left(row) // each)
            context.report(Progress(made, most, goal_loss))
            distance = (video[0] - original).abs().mean().item()
            yield Draw(video[0], goal_loss, bool(query.goal.met(output)), distance)


class RandomDraws(Draws):
    """Chance: the first video that the generator makes of random noise and that meets the goal."""

    stops_at_success = True

    @staticmethod
    def rank(draw: Draw) -> tuple[float, ...]:
        return (not draw.met, draw.goal_loss)


class NearestDraw(Draws):
    """Chance with a choice: of many random videos that meet the goal, the nearest to the original by L1."""

    stops_at_success = False
    search_space: ClassVar[SearchSpace] = {"steps": IntegerRange(2, 15)}

    @staticmethod
    def rank(draw: Draw) -> tuple[float, ...]:
        return (not draw.met, draw.distance if draw.met else draw.goal_loss)
