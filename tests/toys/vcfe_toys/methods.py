"""Methods that work, methods that fail, and a method that does not support some goals."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.goals import Goal, losses
from vcfe_bench.interfaces import Context, Dataset, Explanation, Generator, Method, Progress, Query, Target


@validated(frozen=True, config={"extra": "forbid"})
class PushParams:
    """``steps`` of size ``rate``, from a start with ``noise``; ``pause`` seconds a step."""

    steps: int = Field(default=5, ge=1)
    rate: float = 20.0
    noise: float = 0.02
    pause: float = 0.0
    label: str = ""


class Push(Method):
    """Gradient descent on the pixels, three videos side by side."""

    Params = PushParams
    params: PushParams
    width = 3
    presets = {"strong": {"steps": 8, "rate": 60.0}}  # noqa: RUF012

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert len(queries) == self.width
        start = torch.stack([query.sample.video for query in queries])
        noise = torch.stack(
            [torch.randn(v.shape, generator=q.generator("noise")) for q, v in zip(queries, start, strict=True)]
        )
        video = start + self.params.noise * noise
        trace = []
        for step in range(self.params.steps):
            video = video.detach().requires_grad_()
            loss = losses([query.goal for query in queries], context.target(video))
            (gradient,) = torch.autograd.grad(loss.sum(), video)
            video = video - self.params.rate * gradient
            trace.append(loss.detach())
            context.report(Progress(step + 1, self.params.steps, float(loss.detach().mean())))
            time.sleep(self.params.pause)
        series = torch.stack(trace, dim=1).tolist()
        return [Explanation(v.detach(), {"loss": s}) for v, s in zip(video, series, strict=True)]


class Half(Method):
    """Half of the brightness, through the generator, in single file."""

    needs_generator = True

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert context.generator is not None
        latents = [context.generator.encode(query.sample.video[None]) for query in queries]
        masks = {"mask": torch.ones(2, 2).numpy()}
        return [Explanation(context.generator.decode(z / 2)[0], artefacts=masks) for z in latents]


@validated(frozen=True, config={"extra": "forbid"})
class FragileParams:
    """How to ``fail``: error, nan, shape, memory, count, exit, die, hang or never.

    Failing stops while the file ``cure`` exists.
    """

    fail: str = "error"
    cure: str = ""


class Fragile(Method):
    """Fails on the video ``light-1`` and changes nothing elsewhere."""

    Params = FragileParams
    params: FragileParams

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        video = queries[0].sample.video.clone()
        if queries[0].sample.id == "light-1" and not os.path.exists(self.params.cure):
            match self.params.fail:
                case "error":
                    raise ValueError("the light went out")
                case "memory":
                    raise MemoryError("1 TB")
                case "nan":
                    video[0, 0, 0, 0] = float("nan")
                case "shape":
                    video = video[1:]
                case "count":
                    return []
                case "exit":
                    sys.exit(0)
                case "die":
                    os._exit(0)
                case "hang":
                    time.sleep(600)
        return [Explanation(video)]


class Picky(Method):
    """Wants goals about the right only, and finds out late that it cannot do even that for ``light-0``."""

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return None if str(goal) == "class=2" else "wants to go right"

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        raise NotImplementedError("not before dawn")
