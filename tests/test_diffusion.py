from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models import tiny_wan
from tests.models.tiny_wan import SHAPE
from vcfe_bench.diffusion import denoise, euler_step, gradient_through, guided_step, matched, noised


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return tiny_wan.generator(tmp_path_factory.mktemp("wan"))


def _noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("keeps_graph", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradient_through_sampling_equals_plain_autograd(wan, monkeypatch, steps, keeps_graph):
    monkeypatch.setattr(wan, "keeps_graph", keeps_graph)
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


def test_one_step_yields_the_clean_estimate(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    with torch.no_grad():
        expected = _noise() - wan.velocity(_noise(), 1.0, condition)
        assert torch.equal(denoise(wan, _noise(), condition, 1), expected)


def test_memory_does_not_grow_with_the_number_of_steps(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)

    def saved(steps: int) -> int:
        """Peak number of bytes that autograd holds."""
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


def _bend(latent: torch.Tensor) -> torch.Tensor:
    """A loss per sample whose gradient is not constant."""
    return ((latent * _noise(1)).sin() + latent.square()).flatten(1).sum(1)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("through", ["full", "decoder"])
def test_guidance_is_plain_autograd_at_the_clean_estimate(wan, monkeypatch, through, constrained):
    if constrained:
        monkeypatch.setattr(wan, "constrain", lambda z, _: torch.cat([z[:, :, :1] * 0, z[:, :, 1:] ** 2], dim=2))
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    z = _noise().requires_grad_()
    velocity = wan.velocity(z, 0.6, condition)
    held = velocity if through == "full" else velocity.detach()
    losses = _bend(wan.constrain(z - 0.6 * held, condition))
    (gradient,) = torch.autograd.grad(losses.sum(), z)
    expected = wan.constrain(z - 0.2 * (velocity + 0.5 * 0.6 * gradient), condition).detach()

    def push(velocity, gradient, sigma):
        return 0.5 * sigma * gradient

    moved, values = guided_step(wan, _noise(), 0.6, 0.4, condition, _bend, push, through)
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values, losses.detach())


def test_gradients_through_denoiser_and_decoder_differ(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    full, decoder = (
        guided_step(wan, _noise(), 0.6, 0.4, condition, _bend, lambda v, g, s: g, through)[0]
        for through in ("full", "decoder")
    )
    assert not torch.allclose(full, decoder, atol=1e-2)


def test_without_a_push_a_guided_step_is_an_euler_step(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    moved, _ = guided_step(wan, _noise(), 1.0, 0.7, condition, _bend, lambda v, g, s: 0 * g)
    with torch.no_grad():
        assert torch.equal(moved, euler_step(wan, _noise(), 1.0, 0.7, condition))


def test_a_push_along_the_gradient_lowers_the_loss(wan):
    condition = wan.condition(torch.rand(2, 3, *SHAPE[1:]), SHAPE)
    after = []
    for scale in (0.0, 0.05):
        moved, _ = guided_step(wan, _noise(), 0.6, 0.0, condition, _bend, lambda v, g, s, w=scale: w * matched(v, g))
        after.append(_bend(moved))
    assert (after[1] < after[0]).all()


@given(seed=st.integers(0, 100), factor=st.floats(1e-6, 1e6))
def test_matched_keeps_the_direction_and_adopts_the_norm(seed, factor):
    velocity, gradient = _noise(seed), _noise(seed + 1) * factor
    result = matched(velocity, gradient)
    for v, g, r in zip(velocity, gradient, result, strict=True):
        length = v.double().square().sum().sqrt() / g.double().square().sum().sqrt()
        torch.testing.assert_close(r, (g.double() * length).float(), rtol=1e-4, atol=1e-6)


def test_matched_is_zero_for_zero_gradients():
    gradient = torch.stack([_noise()[0], torch.zeros(4, 3, 4, 4)])
    result = matched(_noise(1), gradient)
    assert (result[1] == 0).all()
    assert (result[0] != 0).any()


def test_noised_runs_from_data_to_noise():
    assert torch.equal(noised(_noise(), _noise(1), 0.0), _noise())
    assert torch.equal(noised(_noise(), _noise(1), 1.0), _noise(1))
    torch.testing.assert_close(noised(_noise(), _noise(1), 0.25), 0.75 * _noise() + 0.25 * _noise(1))
