"""LD-ViCE: guided denoising of a half-noisy latent, and a mask that keeps only what the guidance changed.

Varshney et al., "LD-ViCE: Latent Diffusion Model for Video Counterfactual Explanations", arXiv 2509.08422. Symbols:
x_f the original, z_f its latent, z_τ the noisy latent, v_t the clean estimate at a step, z̃ the next latent without
guidance, λ_c the scale, x_cf the counterfactual, x_ref the reference, M the mask, x_mcf the masked counterfactual.

The full text was not at hand: the abstract and the captions of figures 2 and 5 are the sources. They give: E(x_f) is
noised in part; at each step the target reads the decoded v_t, and its gradient, scaled by λ_c, turns z̃ into the next
latent; the same z_τ denoised without guidance gives x_ref, and a mask computed from it makes x_mcf of x_cf
(LD-ViCE-RA). The rest is **reconstructed**:

- *Noise.* z_τ = (1 - σ_0) z_f + σ_0 ε with σ_0 = 0.5, where signal and noise weigh the same. The model is told the
  first frame, as in ``cg_video_mid``; the paper's text prompt is the generator's fixed one.
- *Guidance.* z = z̃ - λ_c ||z̃ - z_t|| g/||g||, g being the gradient of the goal's loss at v_t, as the caption of
  figure 2 reads; this is λ_c ||v|| g/||g|| added to the velocity. The norms are ours, after DVCE and LDCE.
  ``through="full"`` takes the gradient at z_t, through the denoiser.
- *Stopping.* A step whose clean video (clamped, rounded to 8 bits) meets the goal is not guided. It keeps the edit
  small, and a regressor's value from running past the one that was asked for. One rule for all goals.
- *Mask.* D = Σ_c |x_cf - x_ref| on clamped videos, divided by its maximum over the clip, dilated in space by a maximum
  filter; M = [D ≥ 0.15] and x_mcf = M x_cf + (1 - M) x_f. The difference to x_ref, not to x_f, leaves out what encoding
  and denoising change by themselves. Filter and threshold are those of ACE (Jeanneret et al. 2023), whose filter is 15
  pixels of 256 wide; the same share of the frame is taken at other sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.diffusion import euler_step, guided_step, matched, noised
from vcfe_bench.goals import losses
from vcfe_bench.interfaces import Context, Explanation, Method, Progress, Query
from vcfe_methods.classifier_guidance import draw, reached


@validated(frozen=True, config={"extra": "forbid"})
class LDViCEParams:
    """Hyper-parameters, all of them reconstructed.

    ``steps``: Euler steps. ``start``: σ_0. ``scale``: λ_c. ``through``: what the gradient goes through beside the
    target. ``refine``: return x_mcf instead of x_cf. ``threshold``: smallest D inside the mask, as a share of the
    greatest. ``dilation``: reach of the maximum filter, as a share of the frame's height. ``width``: videos at once.
    """

    steps: int = Field(default=15, ge=1)
    start: float = Field(default=0.5, gt=0, le=1)
    scale: float = Field(default=2.0, ge=0)
    through: Literal["full", "decoder"] = "decoder"
    refine: bool = False
    threshold: float = Field(default=0.15, gt=0, le=1)
    dilation: float = Field(default=7 / 256, ge=0, lt=0.5)
    width: int = Field(default=4, ge=1)


@validated(frozen=True, config={"extra": "forbid"})
class LDViCERAParams(LDViCEParams):
    """As for ``ldvice``, refined by default."""

    refine: bool = True


def refinement_mask(counterfactual: Tensor, reference: Tensor, threshold: float, dilation: float) -> Tensor:
    """Where guidance changed ``[B, T, 3, H, W]`` videos, as bool ``[B, T, H, W]``; nowhere if they are equal."""
    difference = (counterfactual.clamp(0, 1) - reference.clamp(0, 1)).abs().sum(dim=2)
    difference = difference / difference.flatten(1).amax(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    reach = round(dilation * difference.shape[-2])
    return F.max_pool2d(difference, 2 * reach + 1, stride=1, padding=reach) >= threshold


class LDViCE(Method):
    """Latent diffusion from the half-noisy original, guided on its clean estimates."""

    Params = LDViCEParams
    params: LDViCEParams
    needs_generator = True

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        p, generator, target = self.params, context.generator, context.target
        assert generator is not None
        goals = [query.goal for query in queries]
        x_f = torch.stack([query.sample.video for query in queries])
        _, frames, _, height, width = x_f.shape
        condition = generator.condition(x_f[:, 0], (frames, height, width))
        z_f = generator.encode(x_f)
        z = reference = noised(z_f, draw(queries, z_f.shape[1:]).to(z_f.device), p.start)
        trace: dict[str, list[Tensor]] = {"goal_loss": [], "scale": []}

        def objective(v_t: Tensor) -> Tensor:
            x_t = generator.decode(v_t)
            values = losses(goals, target(x_t))
            unmet = ~torch.tensor(reached(goals, target, x_t), device=values.device)
            trace["goal_loss"].append(values.detach().cpu())
            trace["scale"].append(p.scale * unmet.cpu().double())
            return values * unmet

        def push(velocity: Tensor, gradient: Tensor, sigma: float) -> Tensor:
            return p.scale * matched(velocity, gradient)

        for k, (sigma, next_sigma) in enumerate(pairwise(generator.sigmas(p.steps, p.start))):
            z, _ = guided_step(generator, z, sigma, next_sigma, condition, objective, push, p.through)
            if p.refine:
                with torch.no_grad():
                    reference = euler_step(generator, reference, sigma, next_sigma, condition)
            context.report(Progress(k + 1, p.steps, float(trace["goal_loss"][-1].mean())))

        with torch.no_grad():
            videos, masks = generator.decode(z).cpu(), None
            if p.refine:
                masks = refinement_mask(videos, generator.decode(reference).cpu(), p.threshold, p.dilation)
                videos = torch.where(masks.unsqueeze(2), videos, x_f)
        return [
            Explanation(
                video,
                {name: torch.stack(values, dim=1)[i].tolist() for name, values in trace.items()},
                {} if masks is None else {"mask": masks[i].numpy()},
                {"generator": p.steps * (2 if p.refine else 1), "target": 2 * p.steps},
            )
            for i, video in enumerate(videos)
        ]


class LDViCERA(LDViCE):
    """LD-ViCE with its refinement: what guidance did not change is the original."""

    Params = LDViCERAParams
    params: LDViCERAParams
