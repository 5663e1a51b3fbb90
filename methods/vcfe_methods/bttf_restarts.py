"""BTTF with additions: a Gaussian shell, an early end of each number of steps, and restarts from new noise.

The algorithm of ``bttf`` (Wang et al., arXiv 2511.20295) with the following additions, none of which is in the paper:

- *Gaussian shell.* Large steps move z_T off the sphere of radius sqrt(dim) on which Gaussian noise concentrates, and
  the generator then produces artefacts. ``shell=True`` projects z_T back to its initial norm after each update.
- *Early end.* AdamW moves z_T by about the learning rate, however small the gradient is; once the goal is met, further
  updates only degrade the object. A video that meets its goal, with a goal loss below the threshold ``enough``, keeps
  its z_T and proceeds to n + 1. The iterations that it saves are available at n = N.
- *Restarts.* After ``patience`` consecutive updates without meeting the goal, z_T is sampled again, the moments of
  AdamW are reset and stage 1 is repeated for the new z_T; n stays. Some initial noises do not lead to the goal, and a
  long search from one of them ends outside the generator's distribution.
- *K_C* is the number of all iterations of stage 2 and is spread over n = 1…N.
- *λ* is small, so that the style loss has hardly any influence, and refers to Gram matrices that are divided by C·H·W
  instead of H·W: a λ of 9 here is a λ of 1 for ``bttf``.

A restart makes this method partly a search by chance: compare it with ``random_draws``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.interfaces import Context, Explanation, IntegerRange, Method, Progress, Query, RealRange, SearchSpace
from vcfe_methods.budget import affordable
from vcfe_methods.noise_search import NoiseSearch, Stage, Trace

CHANNELS = 3


@validated(frozen=True, config={"extra": "forbid"})
class BTTFRestartsParams:
    """Hyper-parameters, all of them ours; chosen by measurement on Shape-Moving.

    ``steps``: N. ``iterations``: K_C, of all n together. ``inversion_iterations``: K_I. ``style_weight``: λ, see the
    module. ``rate``: learning rate of AdamW. ``inversion``, ``style``: switches for ablations. ``enough``: goal loss
    below which a video that meets its goal proceeds to the next n; a cross-entropy of 0.05 is a probability of 0.95,
    and 0 uses every iteration. ``patience``: consecutive updates without meeting the goal after which z_T is sampled
    again; 0 never restarts. ``width``: videos per micro-batch; memory grows with it.
    """

    steps: int = Field(default=6, ge=1)
    iterations: int = Field(default=100, ge=1)
    inversion_iterations: int = Field(default=0, ge=0)
    inversion: bool = True
    style_weight: float = Field(default=1e3, ge=0)
    style: bool = True
    rate: float = Field(default=0.1, gt=0)
    shell: bool = True
    enough: float = Field(default=0.05, ge=0)
    patience: int = Field(default=15, ge=0)
    width: int = Field(default=2, ge=1)

    def schedule(self) -> list[tuple[int, int]]:
        """Stage 2 as pairs of a number of denoising steps n and its share of the iterations."""
        bounds = [self.iterations * k // self.steps for k in range(self.steps + 1)]
        return [(n, end - start) for n, (start, end) in enumerate(itertools.pairwise(bounds), start=1)]


class VideoState:
    """State of the optimisation of one video of a micro-batch.

    ``row`` is its position in the batch, ``remaining`` its unused iterations of stage 2, ``reserved`` how many of them
    are kept for later n, and ``stalled`` its consecutive updates since z_T was sampled or last met the goal.
    """

    z_T: Tensor
    optimiser: torch.optim.AdamW
    norm: float

    def __init__(self, row: int, random: torch.Generator, search: NoiseSearch, p: BTTFRestartsParams) -> None:
        self.row = row
        self.random = random
        self.search = search
        self.p = p
        self.remaining = p.iterations
        self.reserved = 0
        self.trace: Trace = defaultdict(list)
        self.sample_noise()

    def sample_noise(self) -> None:
        """Start from a new z_T, with an optimiser without moments."""
        self.z_T = torch.randn(self.search.latent_shape, generator=self.random, requires_grad=True)
        self.optimiser = torch.optim.AdamW([self.z_T], self.p.rate, weight_decay=0.0)
        self.norm = self.z_T.norm().item()
        self.stalled = 0

    def update(self, gradient: Tensor) -> None:
        """Move z_T by one step of AdamW, and project it to the Gaussian shell."""
        self.z_T.grad = gradient
        self.optimiser.step()
        if self.p.shell:
            with torch.no_grad():
                self.z_T *= self.norm / self.z_T.norm()

    def affords(self, stage: Stage, n: int) -> bool:
        """Whether the budget suffices for another iteration and the result."""
        cost = self.search.cost(stage, n) + self.search.result_cost()
        return affordable(self.search.context.calls, [self.row], cost)


class Optimisation:
    """The two stages on a micro-batch.

    Every iteration denoises the whole batch, but updates active videos only, which alone are charged. A video that is
    not active keeps its z_T and its optimiser, so the result for one video does not depend on the others.
    """

    def __init__(self, p: BTTFRestartsParams, queries: Sequence[Query], context: Context) -> None:
        self.p = p
        self.context = context
        self.inversion_iterations = p.inversion_iterations if p.inversion else 0
        weight = p.style_weight / CHANNELS**2 if p.style else 0
        self.search = NoiseSearch(queries, context, weight, p.steps, self.inversion_iterations > 0)
        self.videos = [VideoState(row, query.generator("noise"), self.search, p) for row, query in enumerate(queries)]
        self.done, self.most = 0, self.most_iterations()

    def invert(self, videos: Sequence[VideoState]) -> None:
        """Stage 1: move z_T until one denoising step yields the latent of the original."""
        for _ in range(self.inversion_iterations):
            active = [video for video in videos if video.affords("inversion", 1)]
            if active:
                self.iterate("inversion", 1, active)

    def optimise(self) -> None:
        """Stage 2: look for a z_T whose video meets the goal, with n = 1…N denoising steps."""
        for n, share in self.p.schedule():
            for video in self.videos:
                video.reserved = 0 if n == self.p.steps else max(video.remaining - share, 0)
            active = self.continuing(n, self.videos)
            while active:
                updated = self.iterate("counterfactual", n, active)
                for video in active:
                    video.stalled = video.stalled + 1 if video in updated else 0
                for video in updated:
                    video.remaining -= 1
                # never for patience = 0: an updated video has stalled at least once
                restarted = [video for video in updated if video.stalled == self.p.patience and video.remaining]
                if restarted:
                    for video in restarted:
                        video.sample_noise()
                    self.invert(restarted)
                active = self.continuing(n, updated)

    def continuing(self, n: int, videos: Sequence[VideoState]) -> list[VideoState]:
        """The videos that have an iteration with n steps left, by number and by budget."""
        return [v for v in videos if v.remaining > v.reserved and v.affords("counterfactual", n)]

    def iterate(self, stage: Stage, n: int, active: Sequence[VideoState]) -> list[VideoState]:
        """One iteration with n denoising steps. Returns the active videos that had to be updated."""
        z_T = torch.stack([video.z_T for video in self.videos])
        with self.context.rows([video.row if video in active else None for video in self.videos]):
            iteration = self.search.iterate(stage, n, z_T)
        losses = iteration.losses
        updated = [v for v in active if not (losses.met[v.row] and losses.goal_loss[v.row] < self.p.enough)]
        for video in updated:
            video.update(iteration.gradients[video.row])
        for video in active:
            iteration.record(video.row, video.z_T, video.trace)
        self.done += 1
        loss = losses.loss[[video.row for video in active]].mean()
        self.context.report(Progress(self.done, self.most, float(loss)))
        return updated

    def most_iterations(self) -> int:
        """Upper bound of the iterations: a separate inversion for every restart, one last check of the goal per n."""
        restarts = len(self.videos) * (self.p.iterations // self.p.patience) if self.p.patience else 0
        return (1 + restarts) * self.inversion_iterations + self.p.iterations + self.p.steps


class BTTFRestarts(Method):
    """BTTF with additions of ours: noise on the Gaussian shell, an early end for each n, restarts from new noise.

    The trace is that of ``bttf``.
    """

    Params = BTTFRestartsParams
    params: BTTFRestartsParams
    needs_generator = True
    search_space: ClassVar[SearchSpace] = {
        "steps": IntegerRange(2, 15),
        "inversion_iterations": IntegerRange(0, 40),
        "rate": RealRange(0.01, 0.5, log=True),
        "enough": RealRange(0.01, 0.5, log=True),
        "patience": IntegerRange(5, 60, log=True),
    }

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        optimisation = Optimisation(self.params, queries, context)
        optimisation.invert(optimisation.videos)
        optimisation.optimise()
        videos = optimisation.search.result(torch.stack([video.z_T for video in optimisation.videos]))
        return [Explanation(x_c, dict(video.trace)) for x_c, video in zip(videos, optimisation.videos, strict=True)]
