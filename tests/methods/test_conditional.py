"""The conditional generator on a world in which only the condition tells what follows the first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from vcfe_toys.models import Blocks, Meter

from vcfe_bench.core.weights import CorruptWeights
from vcfe_bench.goals import AvoidGoal, ValueGoal
from vcfe_bench.interfaces import Context, Dataset, Query, Sample, Split, Values
from vcfe_methods.conditional.method import Conditional, ConditionalParams, sampled
from vcfe_methods.conditional.network import ConditionalVelocity, condition
from vcfe_methods.conditional.training import ConditionalRecipe, pair_of, train


class Later(Dataset):
    """A first frame of random grey; the label is the brightness of the frames after it, in percent."""

    spec = "later"
    shape = (5, 8, 8)
    values = Values(low=0, high=100, change=20, tolerance=8, unit="percent")

    def size(self, split: Split) -> int:
        return 64

    def sample(self, split: Split, index: int) -> Sample:
        draw = torch.Generator().manual_seed(index + 1000 * (split == "test"))
        first, rest = torch.rand(2, generator=draw).tolist()
        video = torch.full(self.shape, rest)[:, None].expand(-1, 3, -1, -1).clone()
        video[0] = first
        return Sample(str(index), video, 100 * rest, 8.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ConditionalVelocity:
    recipe = ConditionalRecipe(steps=300, videos=64, lr=3e-3, width=16, depth=2)
    return train(Later(), Blocks(), tmp_path_factory.mktemp("conditional"), recipe, str)


@pytest.fixture(scope="module")
def file(trained: ConditionalVelocity, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "conditional.safetensors"
    save_file(trained.state_dict(), path)
    return str(path)


def context() -> Context:
    target = Meter()
    target.spec = "meter"
    return Context(Later(), target, Blocks())


def explained(file: str, goal: float, seed: int = 0, **rest: Any) -> Tensor:
    method = Conditional(ConditionalParams(network=file, **rest))
    query = Query(Later().sample("test", 0), ValueGoal(goal, 8), seed)
    (explanation,) = method.run([query], context())
    assert len(explanation.trace["loss"]) == method.params.draws
    return explanation.video


def test_videos_follow_the_condition_and_keep_the_first_frame(file: str) -> None:
    original = Later().sample("test", 0).video
    for goal in (15.0, 50.0, 85.0):
        video = explained(file, goal, draws=1)
        assert torch.equal(video[0], original[0])
        assert 100 * float(video[1:].mean()) == pytest.approx(goal, abs=12)


def test_the_best_of_several_samples_is_kept(file: str) -> None:
    goal = ValueGoal(40.0, 8)
    losses = [float(goal.loss(Meter()(explained(file, 40.0, draws=draws, steps=4)[None]))[0]) for draws in (1, 2, 3)]
    assert losses == sorted(losses, reverse=True)


def test_the_seed_decides(file: str) -> None:
    first, again, other = (explained(file, 40.0, seed, steps=4) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_sample_of_the_true_velocity_is_the_clean_latent() -> None:
    """For one clean latent z, the velocity at (x, s) is (x - z) / s; Euler steps then end in z."""
    clean = torch.rand(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def true(latent: Tensor, sigma: Tensor, first: Tensor, label: Tensor) -> Tensor:
        return (latent - clean) / sigma.view(-1, 1, 1, 1, 1)

    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sampled(true, noise, clean[:, :, :1], torch.zeros(1), 7), clean)  # type: ignore[arg-type]


def test_it_is_read_as_it_was_trained_and_only_for_its_pair(file: str, trained: ConditionalVelocity) -> None:
    method = Conditional(ConditionalParams(network=file))
    (network,) = method.networks
    assert torch.equal(network.enter.weight, trained.enter.weight)
    assert torch.equal(network.pair, pair_of(Later(), Blocks()))
    goal = ValueGoal(40.0, 8)
    assert method.supports(Later(), Meter(), Blocks(), goal) is None
    assert "needs a network" in str(Conditional().supports(Later(), Meter(), Blocks(), goal))
    assert "needs a generator" in str(method.supports(Later(), Meter(), None, goal))
    assert "as goal" in str(method.supports(Later(), Meter(), Blocks(), AvoidGoal(0)))
    other = Later()
    other.spec = "other"
    assert "another dataset" in str(method.supports(other, Meter(), Blocks(), goal))


def test_conditions_distinguish_labels() -> None:
    values = condition(torch.linspace(0, 100, 21), 0, Later.values)
    assert torch.cdist(values, values).add(torch.eye(21)).min() > 0.1
    assert condition(torch.tensor([2, 0]), 3, None).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CorruptWeights, match="train explainer --method conditional"):
        Conditional(ConditionalParams(network=str(tmp_path / "a.safetensors")))
