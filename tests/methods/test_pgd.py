from __future__ import annotations

import eagerpy
import foolbox
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.methods.small import passes
from vcfe_bench.goals import AvoidGoal, ClassGoal, losses
from vcfe_bench.interfaces import Context, Query, Sample, Target
from vcfe_methods.pgd import PAPER_CLIP, PGD, PGDParams, attack, norms, uniform_in_ball


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 8 * 8, 16), nn.Tanh(), nn.Linear(16, 3)).eval()


def _videos(batch: int = 5) -> torch.Tensor:
    return torch.rand(batch, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("targeted", [True, False])
def test_equals_the_l2_pgd_of_foolbox(model, targeted):
    videos, labels = _videos(), torch.tensor([0, 1, 2, 0, 1])
    radius, steps = 1.5, 7
    stepsize = 2.5 * radius / steps
    reference = foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=stepsize, steps=steps, random_start=False)
    criterion = foolbox.criteria.TargetedMisclassification(labels) if targeted else labels
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = reference(wrapped, videos, criterion, epsilons=radius)
    goals = [ClassGoal(int(label)) if targeted else AvoidGoal(int(label)) for label in labels]
    result = attack(
        lambda current: losses(goals, model(current)), videos, radius=radius, steps=steps, stepsize=stepsize
    )
    torch.testing.assert_close(result, eagerpy.astensor(expected).raw, rtol=1e-4, atol=1e-5)


@given(st.floats(0.01, 5), st.integers(1, 6), st.sampled_from([AvoidGoal(0), ClassGoal(0)]))
@settings(max_examples=25, deadline=None)
def test_stays_in_the_ball_and_in_the_unit_range(radius, steps, goal):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 8 * 8, 3))
    videos = _videos()
    stepsize = 2.5 * radius / steps
    result = attack(lambda current: goal.loss(model(current)), videos, radius=radius, steps=steps, stepsize=stepsize)
    assert (norms(result - videos) <= radius * (1 + 1e-5)).all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_norms_are_per_sample_for_any_number_of_dimensions():
    for shape in [(2, 7), (2, 3, 4, 4), (3, 4, 3, 8, 8)]:
        change = torch.randn(shape)
        assert norms(change).shape == (shape[0], *[1] * (len(shape) - 1))
        torch.testing.assert_close(norms(change).flatten()[1], change[1].norm())


def test_random_start_is_uniform_in_the_ball():
    generator = torch.Generator().manual_seed(0)
    radii = torch.stack([uniform_in_ball(torch.Size([1, 1, 2]), 2.0, generator).norm() for _ in range(2000)])
    assert radii.max() <= 2.0
    assert (radii < 1.0).float().mean() == pytest.approx(0.25, abs=0.03)


def test_the_radius_of_the_paper_is_kept_per_voxel():
    params = PGDParams()
    assert params.radius(PAPER_CLIP) == pytest.approx(20)
    assert params.radius(17 * 3 * 64 * 64) == pytest.approx(20 * (17 * 3 * 64 * 64 / PAPER_CLIP) ** 0.5)
    assert PGDParams(size="absolute").radius(17) == 20


class _Linear(Target):
    classes = ("a", "b", "c")
    fingerprint = "linear"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4 * 3 * 8 * 8, 3)
        self.requires_grad_(False)

    def forward(self, video):
        return self.layer(video.flatten(1))


def test_each_query_meets_its_own_goal():
    target = _Linear()
    queries = [Query(Sample(str(i), video, 0, 16.0), ClassGoal(i % 3), seed=i) for i, video in enumerate(_videos(6))]
    method = PGD(PGDParams(epsilon=3.0, size="absolute"))
    explanations, counts = passes(method, queries, Context(dataset=None, target=target))
    assert counts == [{"target": (10, 10)}] * 6
    for query, explanation in zip(queries, explanations, strict=True):
        assert query.goal.met(target(explanation.video[None])).all()
        assert len(explanation.trace["loss_goal"]) == 10


def test_random_starts_differ_between_queries_and_are_reproducible():
    target = _Linear()
    video = _videos(1)[0]
    queries = [Query(Sample(str(i), video, 0, 16.0), AvoidGoal(0), seed=i) for i in range(2)]
    method = PGD(PGDParams(epsilon=0.5, steps=1, size="absolute", random_start=True))
    first, second = (method.run(queries, Context(dataset=None, target=target)) for _ in range(2))
    assert torch.equal(first[0].video, second[0].video)
    assert not torch.equal(first[0].video, first[1].video)
