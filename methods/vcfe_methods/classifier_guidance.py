"""Classifier guidance: three baselines that guide the denoising of a video by the gradient of the target.

Section D.2, Table S3 and equation 9 of Wang et al., "Back to the Feature: Explaining Video Classifiers with Video
Counterfactual Explanations", arXiv 2511.20295, after Dhariwal and Nichol 2021. Symbols: x_i original video, z_i its
latent, ε noise, s noise level, σ_0 initial noise level, v velocity, ẑ_0 = z - s v clean estimate, D decoder, f target,
L loss of the goal, w guidance scale.

- ``cg_video`` denoises pure noise, conditioned on the first frame and guided by the gradient of the whole clip.
- ``cg_video_mid`` does the same from the half-noisy original ``(1 - σ_0) z_i + σ_0 ε``.
- ``cg_frame`` treats each frame as an image with noise of its own.

The paper states equation 9 and the three variants, and nothing else. The rest is ours:

- *Equation 9 for velocities.* ε = z + (1 - s) v turns ε - w sqrt(1 - ᾱ) ∇log f into v + w s/(1 - s) ∇L: this is
  ``scaling="raw"``. s/(1 - s) diverges at s = 1, where the noise of ``cg_video`` starts; it is limited to 10 (ours).
- *Matched scale (ours).* ``scaling="matched"`` rescales the gradient to the norm of the velocity,
  v + w ||v|| ∇L/||∇L||, as DVCE and LDCE do, so that w has the same meaning for every target.
- *Gradient (ours).* It is that of L(f(D(ẑ_0))) instead of f on the noisy latent, because f is not trained on noisy
  latents. It is taken through the denoiser (``through="full"``) or with v held constant (``"decoder"``).
- *Several scales (ours).* As in DiME, the scales are tried in increasing order with the same noise until the video
  (clamped, rounded to 8 bits) meets the goal, as long as the budget lasts; if none does, the last attempt is returned.
  One scale in the list is equation 9 alone.
- *Half-noisy (ours)* means σ_0 = 0.5, where signal and noise have equal weight.
- *CG-Frame* starts there too, from the latent of a single frame (ours). The target receives the original clip with this
  frame replaced. Conditioned on this frame, an image-to-video model would return it unchanged: frames are denoised
  without a first frame.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.diffusion import guided_step, matched, noised
from vcfe_bench.goals import losses
from vcfe_bench.interfaces import (
    Calls,
    Context,
    Explanation,
    Generator,
    IntegerRange,
    Method,
    Options,
    Progress,
    Query,
    RealRange,
    SearchSpace,
    Target,
)
from vcfe_methods.budget import affordable, require
from vcfe_methods.noise import draw
from vcfe_methods.stored import reached

Through = Literal["full", "decoder"]
BOUND = 10.0
"""Upper limit of s/(1 - s)."""
SCALES = (
    (0.4, 0.8, 1.6, 3.2),
    (0.1, 0.4, 1.6, 6.4),
    (1.6, 3.2, 6.4, 12.8),
    (1.0, 5.0, 20.0, 100.0),
    (0.4,),
    (0.8,),
    (1.6,),
    (3.2,),
    (6.4,),
    (20.0,),
)
"""Lists of scales that can be tuned: ladders, and single attempts for small budgets."""


@validated(frozen=True, config={"extra": "forbid"})
class CGParams:
    """Hyper-parameters; the paper states none. The ``embedded`` preset was chosen by measurement on Shape-Moving.

    ``steps``: Euler steps per attempt. ``scales``: w of each attempt, in increasing order. ``scaling`` and ``through``:
    scale and path of the gradient, see the module. ``width``: videos per micro-batch.
    """

    steps: int = Field(default=15, ge=1)
    scales: tuple[float, ...] = Field(default=(0.4, 0.8, 1.6, 3.2), min_length=1)
    scaling: Literal["matched", "raw"] = "matched"
    through: Through = "full"
    width: int = Field(default=4, ge=1)

    @field_validator("scales")
    @classmethod
    def _increasing(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if scales[0] < 0 or any(a >= b for a, b in itertools.pairwise(scales)):
            raise ValueError("scales must be increasing and not negative")
        return scales

    def push(self, w: float) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The guidance added to the velocity, as a function of v, ∇L and s."""
        if self.scaling == "matched":
            return lambda velocity, gradient, sigma: w * matched(velocity, gradient)
        return lambda velocity, gradient, sigma: w * sigma / max(1 - sigma, sigma / BOUND) * gradient  # equation 9


@validated(frozen=True, config={"extra": "forbid"})
class CGMidParams(CGParams):
    """``start``: σ_0, the initial noise level."""

    start: float = Field(default=0.5, gt=0, le=1)


@dataclass(frozen=True)
class Part:
    """A part of the clips that is denoised on its own.

    Attributes:
        latent: latents at noise level σ_0, ``[B, C, t, h, w]``.
        condition: the generator's condition.
        objective: goal losses ``[B]`` of clean latents.
    """

    latent: Tensor
    condition: Any
    objective: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Division:
    """How a clip is divided into parts: their number, the ``(T, H, W)`` of each, and whether a first frame is given."""

    count: int
    shape: tuple[int, int, int]
    conditioned: bool

    def start_cost(self, calls: Calls) -> float:
        """Price of conditions and latents for one video."""
        frames, height, width = self.shape
        encoding = calls.cost("encode", row=(frames, 3, height, width))
        return self.count * encoding + (calls.cost("condition") if self.conditioned else 0)

    def attempt_cost(self, calls: Calls, generator: Generator, steps: int, through: Through) -> float:
        """Price of an attempt for one video: guided steps and the final decoding of each part, and a last look."""
        latent = generator.latent_shape(self.shape)
        step = (
            calls.cost("velocity", backwards=int(through == "full"), row=latent)
            + calls.cost("decode", backwards=1, row=latent)
            + calls.cost("target", backwards=1)
        )
        return self.count * (steps * step + calls.cost("decode", row=latent)) + calls.cost("target")


class ClassifierGuidance(Method):
    """Guided denoising with increasing scales. Subclasses define what is denoised."""

    Params = CGParams
    params: CGParams
    needs_generator = True
    search_space: ClassVar[SearchSpace] = {
        "steps": IntegerRange(4, 30, log=True),
        "scales": Options(SCALES),
        "through": Options(("full", "decoder")),
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "embedded": {},
        "paper": {"steps": 30, "scaling": "raw", "scales": (1.0, 5.0, 20.0, 100.0)},
    }

    @property
    def sigma_0(self) -> float:
        """The initial noise level σ_0."""
        return 1.0

    def division(self, clip: tuple[int, int, int]) -> Division:
        """The parts of a clip of ``(T, H, W)``: by default one, the clip."""
        return Division(1, clip, conditioned=True)

    @abstractmethod
    def parts(self, queries: Sequence[Query], generator: Generator, target: Target) -> list[Part]:
        """The parts to denoise; decoded and concatenated in time, they are the clips."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        p, generator, target, calls = self.params, context.generator, context.target, context.calls
        assert generator is not None
        goals = [query.goal for query in queries]
        frames, _, height, width = queries[0].sample.video.shape
        division = self.division((frames, height, width))
        cost = division.attempt_cost(calls, generator, p.steps, p.through)
        require(calls, range(len(queries)), division.start_cost(calls) + cost)
        parts = self.parts(queries, generator, target)
        steps = len(parts) * p.steps
        done = itertools.count(1)

        def report(values: Tensor) -> None:
            context.report(Progress(next(done), len(p.scales) * steps, float(values.mean())))

        explanations: dict[int, Explanation] = {}
        unmet = list(range(len(queries)))
        trace = torch.empty(len(queries), 0)
        for attempts, w in enumerate(p.scales, start=1):
            with context.rows([i if i in unmet else None for i in range(len(queries))]):
                clips, curves = zip(*(self.denoise(generator, part, w, report) for part in parts), strict=True)
                videos = torch.cat(clips, dim=1)
                met = reached(goals, target, videos)
            trace = torch.cat([trace, torch.stack(curves).mean(dim=0)], dim=1)
            scales = [scale for scale in p.scales[:attempts] for _ in range(p.steps)]
            for i in unmet:
                explanations[i] = Explanation(videos[i], {"goal_loss": trace[i].tolist(), "scale": scales})
            unmet = [i for i in unmet if not met[i] and affordable(calls, [i], cost)]
            if not unmet:
                break
        return [explanations[i] for i in range(len(queries))]

    def denoise(
        self, generator: Generator, part: Part, w: float, report: Callable[[Tensor], None]
    ) -> tuple[Tensor, Tensor]:
        """One attempt with guidance scale w: the decoded part, and the goal losses of every step, ``[B, steps]``."""
        p, z, curve = self.params, part.latent, []
        for s, next_s in itertools.pairwise(generator.sigmas(p.steps, self.sigma_0)):
            z, values = guided_step(generator, z, s, next_s, part.condition, part.objective, p.push(w), p.through)
            curve.append(values.cpu())
            report(values)
        with torch.no_grad():
            return generator.decode(z), torch.stack(curve, dim=1)


class CGVideo(ClassifierGuidance):
    """Classifier guidance of the whole clip, from pure noise."""

    def parts(self, queries: Sequence[Query], generator: Generator, target: Target) -> list[Part]:
        goals = [query.goal for query in queries]
        x_i = torch.stack([query.sample.video for query in queries])
        _, frames, _, height, width = x_i.shape
        z_i = generator.encode(x_i)
        noise = draw(queries, z_i.shape[1:]).to(z_i.device)
        return [
            Part(
                noised(z_i, noise, self.sigma_0),
                generator.condition(x_i[:, 0], (frames, height, width)),
                lambda z_0: losses(goals, target(generator.decode(z_0))),
            )
        ]


class CGVideoMid(CGVideo):
    """Classifier guidance of the whole clip, from the half-noisy original."""

    Params = CGMidParams
    params: CGMidParams
    search_space: ClassVar[SearchSpace] = {**ClassifierGuidance.search_space, "start": RealRange(0.2, 0.95)}

    @property
    def sigma_0(self) -> float:
        return self.params.start


class CGFrame(ClassifierGuidance):
    """Classifier guidance of every frame on its own, from the half-noisy original.

    Frames that the target skips receive no gradient; they are denoised without guidance.
    """

    Params = CGMidParams
    params: CGMidParams
    search_space: ClassVar[SearchSpace] = {**ClassifierGuidance.search_space, "start": RealRange(0.2, 0.95)}

    @property
    def sigma_0(self) -> float:
        return self.params.start

    def division(self, clip: tuple[int, int, int]) -> Division:
        frames, height, width = clip
        return Division(frames, (1, height, width), conditioned=False)

    def parts(self, queries: Sequence[Query], generator: Generator, target: Target) -> list[Part]:
        goals = [query.goal for query in queries]
        x_i = torch.stack([query.sample.video for query in queries])
        _, frames, _, height, width = x_i.shape
        image = (1, height, width)
        condition = generator.condition(None, image)
        noise = draw(queries, (frames, *generator.latent_shape(image)))

        def part(n: int) -> Part:
            def objective(z_0: Tensor) -> Tensor:
                frame = generator.decode(z_0)
                clip = x_i.to(frame.device)
                return losses(goals, target(torch.cat([clip[:, :n], frame, clip[:, n + 1 :]], dim=1)))

            z_i = generator.encode(x_i[:, n : n + 1])
            return Part(noised(z_i, noise[:, n].to(z_i.device), self.sigma_0), condition, objective)

        return [part(n) for n in range(frames)]
