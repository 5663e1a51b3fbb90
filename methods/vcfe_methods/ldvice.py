"""LD-ViCE: guided denoising of a half-noisy latent, and a mask that confines the edit to what the guidance changed.

Varshney et al., "LD-ViCE: Latent Diffusion Model for Video Counterfactual Explanations", arXiv 2509.08422. Symbols:
x_f original (factual) video, z_f its latent, E encoder, z_τ noisy latent, z_t latent at a step, v_t clean estimate, x̃_t
its decoding, z̃ next latent without guidance, λ_c guidance scale, x_cf counterfactual, x_ref reference, M mask, x_mcf
masked counterfactual.

The full text was not available; the sources are the abstract and the captions of figures 2 and 5. They state that
E(x_f) is partially noised, that each step evaluates the target on the decoded v_t and uses its gradient, scaled by λ_c,
to turn z̃ into the next latent, that the same z_τ denoised without guidance gives x_ref, and that a mask computed from
x_ref turns x_cf into x_mcf (LD-ViCE-RA). Everything else is **reconstructed**:

- *Noise.* z_τ = (1 - σ_0) z_f + σ_0 ε with σ_0 = 0.5, where signal and noise have equal weight. The model is
  conditioned on the first frame, as in ``cg_video_mid``; in place of the paper's text prompt, the generator's fixed
  prompt is used.
- *Guidance.* z = z̃ - λ_c ||z̃ - z_t|| g/||g||, where g is the gradient of the goal's loss at v_t, following the caption
  of figure 2; this adds λ_c ||v|| g/||g|| to the velocity v. The norms are ours, after DVCE and LDCE.
  ``through="full"`` takes the gradient at z_t, through the denoiser.
- *Stopping.* A step is not guided if its clean estimate (decoded, clamped, rounded to 8 bits) already meets the goal.
  This keeps the edit small and prevents the value of a regressor from overshooting. The rule is the same for all
  goals.
- *Mask.* D = Σ_c |x_cf - x_ref| on clamped videos, divided by its maximum over the clip and dilated in space by a
  maximum filter; M = [D ≥ 0.15] and x_mcf = M x_cf + (1 - M) x_f. The difference is taken to x_ref, not to x_f, to
  exclude changes caused by encoding and denoising alone. Filter and threshold are those of ACE (Jeanneret et al. 2023),
  whose filter is 15 pixels wide at a frame size of 256; the filter is scaled with the frame size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.diffusion import euler_step, guided_step, matched, noised
from vcfe_bench.goals import losses
from vcfe_bench.interfaces import (
    Calls,
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
from vcfe_methods.noise import draw
from vcfe_methods.stored import reached


@validated(frozen=True, config={"extra": "forbid"})
class LDViCEParams:
    """Hyper-parameters, all of them reconstructed.

    ``steps``: Euler steps. ``start``: σ_0. ``scale``: λ_c. ``through``: path of the gradient, see the module.
    ``refine``: return x_mcf instead of x_cf. ``threshold``: smallest D inside the mask, as a share of the largest.
    ``dilation``: reach of the maximum filter, as a share of the frame height. ``width``: videos per micro-batch.
    """

    steps: int = Field(default=15, ge=1)
    start: float = Field(default=0.5, gt=0, le=1)
    scale: float = Field(default=2.0, ge=0)
    through: Literal["full", "decoder"] = "decoder"
    refine: bool = False
    threshold: float = Field(default=0.15, gt=0, le=1)
    dilation: float = Field(default=7 / 256, ge=0, lt=0.5)
    width: int = Field(default=4, ge=1)

    def cost(self, calls: Calls) -> float:
        """Price of a result for one video."""
        guided = (
            calls.cost("velocity", backwards=int(self.through == "full"))
            + calls.cost("decode", backwards=1)
            + calls.cost("target", forwards=2, backwards=1)
        )
        cost = calls.cost("condition") + calls.cost("encode") + self.steps * guided + calls.cost("decode")
        if self.refine:
            cost += calls.cost("velocity", forwards=self.steps) + calls.cost("decode")
        return cost


@validated(frozen=True, config={"extra": "forbid"})
class LDViCERAParams(LDViCEParams):
    """As for ``ldvice``, with refinement by default."""

    refine: bool = True


def refinement_mask(counterfactual: Tensor, reference: Tensor, threshold: float, dilation: float) -> Tensor:
    """M, as bool ``[B, T, H, W]``: where guidance changed videos ``[B, T, 3, H, W]``. Empty if both are equal."""
    difference = (counterfactual.clamp(0, 1) - reference.clamp(0, 1)).abs().sum(dim=2)
    difference = difference / difference.flatten(1).amax(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    reach = round(dilation * difference.shape[-2])
    return F.max_pool2d(difference, 2 * reach + 1, stride=1, padding=reach) >= threshold


class LDViCE(Method):
    """Latent diffusion from the half-noisy original, guided at its clean estimates.

    The trace holds, per step, ``goal_loss`` and ``scale``, which is 0 where the goal was already met. The artefact
    ``mask`` of LD-ViCE-RA is M.
    """

    Params = LDViCEParams
    params: LDViCEParams
    needs_generator = True
    search_space: ClassVar[SearchSpace] = {
        "steps": IntegerRange(4, 30, log=True),
        "start": RealRange(0.3, 1.0),
        "scale": RealRange(0.2, 20.0, log=True),
        "through": Options(("decoder", "full")),
    }

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        p, generator, target = self.params, context.generator, context.target
        assert generator is not None
        require(context.calls, range(len(queries)), p.cost(context.calls))
        goals = [query.goal for query in queries]
        x_f = torch.stack([query.sample.video for query in queries])
        _, frames, _, height, width = x_f.shape
        condition = generator.condition(x_f[:, 0], (frames, height, width))
        z_f = generator.encode(x_f)
        z = z_ref = noised(z_f, draw(queries, z_f.shape[1:]).to(z_f.device), p.start)  # z_τ
        trace: dict[str, list[Tensor]] = {"goal_loss": [], "scale": []}

        def objective(v_t: Tensor) -> Tensor:
            x_t = generator.decode(v_t)
            goal_losses = losses(goals, target(x_t))
            unmet = ~torch.tensor(reached(goals, target, x_t), device=goal_losses.device)
            trace["goal_loss"].append(goal_losses.detach().cpu())
            trace["scale"].append(p.scale * unmet.cpu().double())
            return goal_losses * unmet

        def push(velocity: Tensor, gradient: Tensor, sigma: float) -> Tensor:
            return p.scale * matched(velocity, gradient)

        for k, (sigma, next_sigma) in enumerate(pairwise(generator.sigmas(p.steps, p.start)), start=1):
            z, _ = guided_step(generator, z, sigma, next_sigma, condition, objective, push, p.through)
            if p.refine:
                with torch.no_grad():
                    z_ref = euler_step(generator, z_ref, sigma, next_sigma, condition)
            context.report(Progress(k, p.steps, float(trace["goal_loss"][-1].mean())))

        with torch.no_grad():
            videos, masks = generator.decode(z).cpu(), None  # x_cf
            if p.refine:
                x_ref = generator.decode(z_ref).cpu()
                masks = refinement_mask(videos, x_ref, p.threshold, p.dilation)
                videos = torch.where(masks.unsqueeze(2), videos, x_f)  # x_mcf
        return [
            Explanation(
                video,
                {name: torch.stack(values, dim=1)[i].tolist() for name, values in trace.items()},
                {} if masks is None else {"mask": masks[i].numpy()},
            )
            for i, video in enumerate(videos)
        ]


class LDViCERA(LDViCE):
    """LD-ViCE with refinement: outside the mask of guided changes, the result is the original."""

    Params = LDViCERAParams
    params: LDViCERAParams
    search_space: ClassVar[SearchSpace] = {**LDViCE.search_space, "threshold": RealRange(0.02, 0.5, log=True)}
