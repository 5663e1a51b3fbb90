"""Deterministic flow-matching sampling: plain, differentiated at constant memory, and guided by a loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.plugins.generator import Generator


def noised(latent: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """The latent at noise level s, ``z_s = (1 - s) z_0 + s ε``."""
    return (1 - sigma) * latent + sigma * noise


def euler_step(generator: Generator, latent: Tensor, sigma: float, next_sigma: float, condition: Any) -> Tensor:
    """``z' = z + (s' - s) v(z, s)``, the flow-matching form of a DDIM step, in float32."""
    velocity = generator.velocity(latent, sigma, condition)
    return generator.constrain(latent + (next_sigma - sigma) * velocity, condition)


def denoise(generator: Generator, noise: Tensor, condition: Any, steps: int) -> Tensor:
    """Algorithm 2 of BTTF: ``steps`` Euler steps from noise ``z_T`` to the clean latent ``z_0``."""
    latent = noise
    for sigma, next_sigma in pairwise(generator.sigmas(steps)):
        latent = euler_step(generator, latent, sigma, next_sigma, condition)
    return latent


def invert(generator: Generator, latent: Tensor, condition: Any, steps: int, rounds: int) -> Tensor:
    """Noise ``z_T`` that ``denoise`` turns into ``latent`` in ``steps`` steps, up to the convergence of the iteration.

    The implicit equation of each Euler step backwards, ``z = z' - (s' - s) v(z, s)``, is solved by ``rounds``
    fixed-point iterations from z = z' (as by Pan et al., "Effective Real Image Editing with Accelerated Iterative
    Diffusion Inversion", arXiv 2309.04907). This costs ``steps * rounds`` forward passes.
    """
    for next_sigma, sigma in pairwise(reversed(generator.sigmas(steps))):
        after = latent
        for _ in range(rounds):
            latent = after - (next_sigma - sigma) * generator.velocity(latent, sigma, condition)
    return latent


def gradient_through(
    generator: Generator, noise: Tensor, condition: Any, steps: int, objective: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Losses ``objective(denoise(noise))`` ``[B]`` and the gradient of their sum with respect to ``noise``.

    Unless the generator keeps the graph of all steps, memory does not depend on ``steps``: a first pass without
    gradients stores the states z_k, and a reverse sweep applies the Jacobian of one step at a time,
    ``g_k = J_k^T g_{k+1}``, on a graph of that step alone. This costs one additional forward pass per step.
    """
    if generator.keeps_graph:
        with torch.enable_grad():
            start = noise.detach().requires_grad_()
            losses = objective(denoise(generator, start, condition, steps))
            (gradient,) = torch.autograd.grad(losses.sum(), start)
        return losses.detach(), gradient
    sigmas = generator.sigmas(steps)
    states = [noise.detach()]
    with torch.no_grad():
        for sigma, next_sigma in pairwise(sigmas):
            states.append(euler_step(generator, states[-1], sigma, next_sigma, condition))
    clean = states.pop().requires_grad_()
    losses = objective(clean)
    (gradient,) = torch.autograd.grad(losses.sum(), clean)
    for next_sigma, sigma in pairwise(reversed(sigmas)):
        state = states.pop().requires_grad_()
        (gradient,) = torch.autograd.grad(euler_step(generator, state, sigma, next_sigma, condition), state, gradient)
    return losses.detach(), gradient


def guided_step(
    generator: Generator,
    latent: Tensor,
    sigma: float,
    next_sigma: float,
    condition: Any,
    objective: Callable[[Tensor], Tensor],
    push: Callable[[Tensor, Tensor, float], Tensor],
    through: Literal["full", "decoder"] = "full",
) -> tuple[Tensor, Tensor]:
    """An Euler step along ``v + push(v, g, s)``. Returns the next latent and the losses ``[B]`` of the clean estimate.

    The clean estimate is ``z_0 = z - s v(z, s)``, with the parts that the condition fixes imposed. g is the gradient of
    the sum of ``objective(z_0)`` with respect to z, either through the denoiser (``full``) or with v held constant, so
    that only ``objective`` is differentiated (``decoder``). A push along +g lowers the losses.
    """
    with torch.enable_grad():
        state = latent.detach().requires_grad_()
        with torch.set_grad_enabled(through == "full"):
            velocity = generator.velocity(state, sigma, condition)
        losses = objective(generator.constrain(state - sigma * velocity, condition))
        (gradient,) = torch.autograd.grad(losses.sum(), state)
    velocity = velocity.detach()
    guided = velocity + push(velocity, gradient, sigma)
    return generator.constrain(latent + (next_sigma - sigma) * guided, condition), losses.detach()


def matched(velocity: Tensor, gradient: Tensor) -> Tensor:
    """``||v|| g / ||g||`` per sample: the gradient rescaled to the norm of the velocity; zero where g is zero."""
    lengths = velocity.flatten(1).norm(dim=1, keepdim=True)
    return (lengths * F.normalize(gradient.flatten(1), dim=1)).view_as(gradient)
