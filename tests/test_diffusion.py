from __future__ import annotations

import pytest
import torch

from tests.models import tiny_wan
from tests.models.tiny_wan import SHAPE
from vcfe_bench.diffusion import denoise, gradient_through


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return tiny_wan.generator(tmp_path_factory.mktemp("wan"))


def _noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_reverse_sweep_equals_plain_autograd(wan, steps):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    weight = _noise(1)

    def objective(latent: torch.Tensor) -> torch.Tensor:
        return ((latent * weight).sin() + latent.square()).flatten(1).sum(1)

    noise = _noise().requires_grad_()
    expected_losses = objective(denoise(wan, noise, condition, steps))
    (expected,) = torch.autograd.grad(expected_losses.sum(), noise)
    losses, gradient = gradient_through(wan, _noise(), condition, steps, objective)
    torch.testing.assert_close(losses, expected_losses.detach())
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


def test_a_constraint_is_part_of_the_gradient(wan, monkeypatch):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)

    def constrain(latent, condition):
        return torch.cat([torch.zeros_like(latent[:, :, :1]), latent[:, :, 1:] ** 2], dim=2)

    monkeypatch.setattr(wan, "constrain", constrain)
    noise = _noise().requires_grad_()
    (expected,) = torch.autograd.grad(denoise(wan, noise, condition, 3).sum(), noise)
    _, gradient = gradient_through(wan, _noise(), condition, 3, lambda latent: latent.flatten(1).sum(1))
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_one_step_jumps_to_the_clean_estimate(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    with torch.no_grad():
        expected = _noise() - wan.velocity(_noise(), 1.0, condition)
        assert torch.equal(denoise(wan, _noise(), condition, 1), expected)


def test_memory_does_not_grow_with_the_number_of_steps(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)

    def saved(steps: int) -> int:
        """Greatest number of bytes that autograd keeps at once."""
        alive = peak = 0

        class Kept:
            def __init__(self, tensor: torch.Tensor) -> None:
                nonlocal alive, peak
                self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
                alive += self.size
                peak = max(peak, alive)

            def __del__(self) -> None:
                nonlocal alive
                alive -= self.size

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            gradient_through(wan, _noise(), condition, steps, lambda latent: latent.flatten(1).sum(1))
        return peak

    assert saved(8) <= 1.01 * saved(1)
