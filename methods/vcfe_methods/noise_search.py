"""What BTTF and its variants share: the losses of the initial noise of a video, and one differentiated iteration.

Wang et al., "Back to the Feature: Explaining Video Classifiers with Video Counterfactual Explanations",
arXiv 2511.20295. Symbols: x_i original video, z_i its latent, z_T initial noise, ẑ_0 denoised latent, x̂_c
counterfactual, n number of denoising steps, λ weight of the style loss. Line numbers are those of Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vcfe_bench.diffusion import denoise, gradient_through
from vcfe_bench.goals import losses
from vcfe_bench.interfaces import Context, Query
from vcfe_methods.budget import require
from vcfe_methods.stored import all_met

Stage = Literal["inversion", "counterfactual"]
Trace = dict[str, list[float]]


def gram(video: Tensor) -> Tensor:
    """Gram matrices ``[B, T, 3, 3]`` of the frames of ``[B, T, 3, H, W]``, divided by H·W.

    The paper states the factor 1/(N_f C²) of the style loss, and not the scale of the matrix. In the style loss of
    Gatys et al., to which it refers, the matrices of C channels and M pixels have the factor 1/C² 1/M²: M = H·W is left
    for the matrix.
    """
    pixels = video.flatten(3)
    return pixels @ pixels.transpose(2, 3) / pixels.shape[-1]


def style_loss(video: Tensor, original_gram: Tensor) -> Tensor:
    """L_S ``[B]``: squared Frobenius distance of the frames' Gram matrices over N_f C² (below equation 1)."""
    return (gram(video) - original_gram).square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Losses:
    """Losses of noise, ``[B]`` each.

    Attributes:
        loss: that of the stage.
        goal_loss: the first term of equation 2; NaN in stage 1.
        loss_style: L_S; NaN in stage 1.
        met: whether the decoded video meets its goal; False in stage 1.
    """

    loss: Tensor
    goal_loss: Tensor
    loss_style: Tensor
    met: Sequence[bool]

    def detached(self) -> Losses:
        """The same without the graph of their computation."""
        return Losses(self.loss.detach(), self.goal_loss.detach(), self.loss_style.detach(), self.met)


@dataclass(frozen=True)
class Iteration:
    """An iteration with n denoising steps before the update: losses, and their gradients by z_T ``[B, C, t, h, w]``."""

    n: int
    losses: Losses
    gradients: Tensor

    def record(self, row: int, z_T: Tensor, trace: Trace) -> None:
        """Append the losses of one video, and the norm of its updated noise, to its trace."""
        for name in ("loss", "goal_loss", "loss_style"):
            trace[name].append(getattr(self.losses, name)[row].item())
        trace["noise_norm"].append(z_T.norm().item())
        trace["n"].append(self.n)


@dataclass
class NoiseSearch:
    """A micro-batch of originals, with the losses of noise for them.

    Attributes:
        style_weight: λ; 0 for no style loss.
        steps: N, the number of denoising steps of the result.
        inverts: whether stage 1 will be used: only then are the originals encoded.
    """

    queries: Sequence[Query]
    context: Context
    style_weight: float
    steps: int
    inverts: bool

    def __post_init__(self) -> None:
        context = self.context
        assert context.generator is not None
        self.generator = context.generator
        self.goals = [query.goal for query in self.queries]  # y_c
        start = context.calls.cost("condition") + (context.calls.cost("encode") if self.inverts else 0)
        require(context.calls, range(len(self.queries)), start + self.result_cost())
        x_i = torch.stack([query.sample.video for query in self.queries])
        _, frames, _, height, width = x_i.shape
        clip = frames, height, width
        self.condition = self.generator.condition(x_i[:, 0], clip)  # lines 3-6
        self.latent_shape = self.generator.latent_shape(clip)
        self.z_i = self.generator.encode(x_i) if self.inverts else None  # line 7
        self.original_gram = gram(x_i)

    def iterate(self, stage: Stage, n: int, z_T: Tensor) -> Iteration:
        """The loss of noise ``z_T`` ``[B, C, t, h, w]`` and its gradient, with n steps (lines 12-15 and 20-25)."""
        measure = self._inversion if stage == "inversion" else self._counterfactual
        measured: list[Losses] = []

        def loss(z_0: Tensor) -> Tensor:
            found = measure(z_0)
            measured.append(found.detached())
            return found.loss

        _, gradients = gradient_through(self.generator, z_T.detach(), self.condition, n, loss)
        return Iteration(n, measured[0], gradients)

    def _inversion(self, z_0: Tensor) -> Losses:
        """L_I (equation 1). It is a mean instead of a sum; AdamW is invariant to a constant factor."""
        assert self.z_i is not None
        loss = (z_0 - self.z_i).abs().flatten(1).mean(1)
        nothing = torch.full_like(loss, math.nan)
        return Losses(loss, nothing, nothing, [False] * len(loss))

    def _counterfactual(self, z_0: Tensor) -> Losses:
        """L_C (equation 2) and its two terms."""
        x_c = self.generator.decode(z_0)  # line 22
        output = self.context.target(x_c)  # line 23
        goal_loss = losses(self.goals, output)  # line 24
        style = style_loss(x_c, self.original_gram)
        loss = goal_loss + self.style_weight * style if self.style_weight else goal_loss
        return Losses(loss, goal_loss, style, all_met(self.goals, output))

    @torch.no_grad()
    def result(self, z_T: Tensor) -> Tensor:
        """Videos ``[B, T, 3, H, W]`` of noise ``z_T`` with N denoising steps (line 29)."""
        return self.generator.decode(denoise(self.generator, z_T.detach(), self.condition, self.steps)).cpu()

    def cost(self, stage: Stage, n: int) -> float:
        """Price of ``iterate`` for one video, with the denoising steps that ``gradient_through`` makes."""
        calls = self.context.calls
        denoising = calls.cost("velocity", forwards=n if self.generator.keeps_graph else 2 * n, backwards=n)
        if stage == "inversion":
            return denoising
        return denoising + calls.cost("decode", backwards=1) + calls.cost("target", backwards=1)

    def result_cost(self) -> float:
        """Price of ``result`` for one video."""
        calls = self.context.calls
        return calls.cost("velocity", forwards=self.steps) + calls.cost("decode")
