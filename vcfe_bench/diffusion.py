"""The deterministic flow-matching loop, with gradients at constant memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from vcfe_bench.interfaces import Generator


def euler_step(generator: Generator, latent: Tensor, sigma: float, next_sigma: float, condition: Any) -> Tensor:
    """``z' = z + (s' - s) v(z, s)``, the flow-matching form of a DDIM step, in float32."""
    moved = latent + (next_sigma - sigma) * generator.velocity(latent, sigma, condition)
    return generator.constrain(moved, condition)


def denoise(generator: Generator, noise: Tensor, condition: Any, steps: int) -> Tensor:
    """Algorithm 2 of BTTF: ``steps`` Euler steps from noise ``z_T`` to the clean latent ``z_0``."""
    latent = noise
    for sigma, next_sigma in pairwise(generator.sigmas(steps)):
        latent = euler_step(generator, latent, sigma, next_sigma, condition)
    return latent


def gradient_through(
    generator: Generator, noise: Tensor, condition: Any, steps: int, objective: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Losses ``objective(denoise(noise))`` ``[B]`` and the gradient of their sum with respect to ``noise``.

    Memory does not depend on ``steps``: the states z_k of a pass without gradients are kept, and each step's Jacobian
    is applied in a reverse sweep, ``g_k = J_k^T g_{k+1}``, on a graph of that step alone. The price is one more forward
    pass per step.
    """
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
