"""Counting of network calls: who pays for what, budgets, and calls that go round the account."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint
from vcfe_toys.models import Blocks, Conv

from tests.harness.toys import ask, planned, run
from tests.models import tiny_wan
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Calls, Context, Features, FeatureTarget, Target
from vcfe_bench.plugins.counted import counted
from vcfe_bench.runs.journal import Session
from vcfe_bench.runs.prices import Prices
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import resolve
from vcfe_bench.runs.watch import watched
from vcfe_bench.workflows import run as workflow

VIDEOS = torch.rand(3, 5, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def context_of(queries: int, target: Target | None = None, **rest: float) -> Context:
    calls = Calls(queries, **rest)  # type: ignore[arg-type]
    return counted(Context(None, target or Conv(), Blocks()), calls)  # type: ignore[arg-type]


def forwards(context: Context, network: str = "target") -> list[int]:
    return [account.forwards[network] for account in context.calls.accounts]


def backwards(context: Context, network: str = "target") -> list[int]:
    return [account.backwards[network] for account in context.calls.accounts]


def test_wrappers_compute_what_the_networks_compute() -> None:
    context, target, generator = context_of(3), Conv(), Blocks()
    assert context.target(VIDEOS).equal(target(VIDEOS))
    assert context.generator is not None
    assert context.generator.decode(context.generator.encode(VIDEOS)).equal(generator.decode(generator.encode(VIDEOS)))
    assert context.generator.sigmas(4, 0.5) == generator.sigmas(4, 0.5)
    assert context.generator.latent_shape((5, 12, 12)) == generator.latent_shape((5, 12, 12))
    for wrapper, network in ((context.target, target), (context.generator, generator)):
        assert wrapper.fingerprint == network.fingerprint
        assert wrapper.spec == network.spec
    assert context.target.classes == target.classes
    assert context.generator.constraints == generator.constraints
    gradients = []
    for network in (context.target, target):
        video = VIDEOS.clone().requires_grad_()
        gradients.append(torch.autograd.grad(network(video).square().sum(), video)[0])
    assert gradients[0].equal(gradients[1])


def test_no_attribute_of_a_wrapper_leads_to_the_network() -> None:
    context = context_of(3)
    hidden = (Conv, Blocks, torch.nn.Conv2d)
    for wrapper in (context.target, context.generator):
        found = [getattr(wrapper, name) for name in dir(wrapper) if name != "__class__"]
        assert not [value for value in found if isinstance(value, hidden)]
        assert not [v for v in found if isinstance(getattr(v, "__self__", None), hidden)]
    assert list(context.target.modules()) == [context.target]
    assert list(context.target.parameters()) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=1, max_size=6), st.booleans())
def test_every_row_is_charged_to_its_query(indices: list[int | None], differentiate: bool) -> None:
    context = context_of(3)
    videos = torch.rand(len(indices), 5, 3, 12, 12).requires_grad_(differentiate)
    with context.rows(indices):
        output = context.target(videos)
    expected = [indices.count(query) for query in range(3)]
    assert forwards(context) == expected
    unpaid = torch.tensor([index is None for index in indices])
    assert output[~unpaid].equal(Conv()(videos)[~unpaid])
    assert not output[unpaid].any()
    if differentiate:
        (gradient,) = torch.autograd.grad(output.sum(), videos)
        assert not gradient[unpaid].any()
        assert backwards(context) == expected
    passes = 3 if differentiate else 1
    assert [context.calls.spent(query) for query in range(3)] == [passes * count for count in expected]


def test_rows_of_the_batch_need_no_names() -> None:
    context = context_of(3)
    context.target(VIDEOS)
    with context.rows([2]):
        context.target(VIDEOS[:1])
        with context.rows([0, 0]):
            context.target(VIDEOS[:2])
        context.target(VIDEOS[:1])
    context.target(VIDEOS)
    assert forwards(context) == [4, 2, 4]


def test_a_wrong_number_of_rows_is_an_error() -> None:
    context = context_of(3)
    with pytest.raises(ValueError, match="'target' has 2 rows, but the batch has 3 queries"):
        context.target(VIDEOS[:2])
    with context.rows([0]), pytest.raises(ValueError, match="'target' has 3 rows, but rows\\(\\) names 1 queries"):
        context.target(VIDEOS)
    with context.rows([]), pytest.raises(ValueError, match="'target' has 3 rows, but rows\\(\\) names 0 queries"):
        context.target(VIDEOS)
    with pytest.raises(ValueError, match="got 3, but the batch has the queries 0 to 2"), context.rows([3]):
        pass
    assert forwards(context) == [0, 0, 0]


def test_backward_passes_are_counted_when_they_happen() -> None:
    context = context_of(3)
    video = VIDEOS.clone().requires_grad_()
    with torch.no_grad():
        context.target(video)
    output = context.target(video)
    assert backwards(context) == [0, 0, 0]
    torch.autograd.grad(output.sum(), video, retain_graph=True)
    torch.autograd.grad(output.square().sum(), video)
    assert backwards(context) == [2, 2, 2]
    context.target(VIDEOS).sum()
    assert forwards(context) == [3, 3, 3]
    (gradient,) = torch.autograd.grad(context.target(video).pow(3).sum(), video, create_graph=True)
    assert backwards(context) == [3, 3, 3]
    torch.autograd.grad(gradient.sum(), video)
    assert backwards(context)[0] > 3


class Recomputing(FeatureTarget):
    """Recomputes its layer in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.computed = 0

    def features(self, video: torch.Tensor) -> Features:
        def layer(colours: torch.Tensor) -> torch.Tensor:
            self.computed += 1
            return self.layer(colours).exp()

        output = checkpoint(layer, video.mean(dim=(1, 3, 4)), use_reentrant=False)
        return Features((video.transpose(1, 2), output[:, :, None, None, None]), torch.arange(5), output)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.features(video).output

    @property
    def fingerprint(self) -> str:
        return "recomputing"


def test_recomputation_inside_a_network_is_no_call_and_features_are_one() -> None:
    target = Recomputing()
    context = context_of(3, target)
    video = VIDEOS.clone().requires_grad_()
    assert isinstance(context.target, FeatureTarget)
    with watched([target], context.calls) as uncharged:
        found = context.target.extract(video)
        torch.autograd.grad(sum(part.sum() for part in (*found.scales, found.output)), video)  # type: ignore[arg-type]
    assert target.computed == 2
    assert (forwards(context), backwards(context)) == ([1, 1, 1], [1, 1, 1])
    assert not uncharged.seen


def test_calls_without_charge_are_noticed() -> None:
    target = Recomputing()
    context = context_of(3, target)
    for network in (target, target.layer):
        with watched([target], context.calls) as uncharged:
            context.target(VIDEOS)
            assert not uncharged.seen
            network(VIDEOS.mean(dim=(1, 3, 4)) if network is target.layer else VIDEOS)
        assert uncharged.seen
        assert "context.target and context.generator only" in uncharged.reason
    target(VIDEOS)


def test_a_condition_without_first_frames_is_free() -> None:
    context = context_of(3)
    assert context.generator is not None
    context.generator.condition(None, (5, 12, 12))
    assert forwards(context, "condition") == [0, 0, 0]
    context.generator.condition(VIDEOS[:, 0], (5, 12, 12))
    assert forwards(context, "condition") == [1, 1, 1]


def test_budgets_count_weighted_calls() -> None:
    context = context_of(2, price=lambda network, row: {"target": 0.5}.get(network, 2.0), budget=10)  # type: ignore[arg-type]
    calls = context.calls
    assert calls.cost("target", forwards=2, backwards=1) == 2
    assert calls.cost("decode") == 2
    with context.rows([1, None]):
        context.target(VIDEOS[:2])
    assert (calls.left(0), calls.left(1)) == (10, 9.5)
    assert (calls.spent(0), calls.spent(1)) == (0, 0.5)


def test_without_accounts_nothing_is_counted() -> None:
    context = Context(None, Conv())  # type: ignore[arg-type]
    with context.rows([5, None]):
        context.target(VIDEOS)
    assert context.calls.left(0) == math.inf
    assert context.calls.spent(7) == 0


def test_prices_are_flops_per_velocity(tmp_path: Path) -> None:
    generator, shape = tiny_wan.generator(tmp_path), (9, 32, 32)
    target = Conv()
    prices = Prices(target, generator, shape)
    assert prices("velocity", None) == 1
    assert prices("target", None) == 2 * 9 * 32 * 32 * 27 * 8 / prices.flops("velocity", None)
    assert prices("velocity", generator.latent_shape(shape)) == 1
    one, five = (prices("velocity", generator.latent_shape((frames, 32, 32))) for frames in (1, 5))
    assert 0 < one < five < 1
    assert prices("decode", None) > prices("decode", generator.latent_shape((1, 32, 32))) > 0
    assert prices("condition", None) >= prices("encode", None) > 0
    assert Prices(target, None, shape)("target", None) == 1
    assert Prices(target, Blocks(), shape)("target", None) == 1, "nothing can be counted in the blocks"


def test_the_price_of_a_call_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    generator = tiny_wan.generator(tmp_path)
    videos = torch.rand(3, *(9, 3, 32, 32))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        generator.encode(videos)
    assert Prices(Conv(), generator, (9, 32, 32)).flops("encode", None) == counter.get_total_flops() / 3


def test_a_run_counts_by_video_and_without_padding(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "toy_push", "toy_half", limit=4)
    assert set(records.loc[records["method"] == "toy_push", "calls"]) == {15}
    half = records[records["method"] == "toy_half"]
    assert set(half["forwards_encode"]) == set(half["forwards_decode"]) == {1}
    assert set(half["calls"]) == {2}
    reference = records.set_index("method")["calls"]
    assert reference["true_edit"].tolist() == reference["no_edit"].tolist() == [0] * 4
    assert reference["reconstruction"].tolist() == [2] * 4


def test_measuring_a_price_is_no_call_of_the_method(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "toy_push", limit=1, generator="none")
    push = records[records["method"] == "toy_push"]
    assert (push["status"].tolist(), push["calls"].tolist()) == (["ok"], [15])


def test_prices_may_be_measured_during_a_method(tmp_path: Path) -> None:
    target = Conv()
    context = context_of(3, target, price=Prices(target, None, (5, 12, 12)))  # type: ignore[arg-type]
    with watched([target], context.calls) as uncharged:
        assert context.calls.cost("target") == 1
        context.target(VIDEOS[:, :2])
    assert not uncharged.seen
    assert context.calls.spent(0) == pytest.approx(2 / 5)


def test_a_method_over_the_budget_has_not_answered(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "toy_push", "toy_half", limit=2, budget=14)
    push, half = (records[records["method"] == name] for name in ("toy_push", "toy_half"))
    assert set(push["status"]) == {"failed"}
    assert set(push["reason"]) == {"over the budget: 15.0 of 14 calls"}
    assert push["video"].isna().all()
    assert push["toy_FR"].isna().all()
    assert push["calls"].tolist() == [15, 15]
    assert set(half["status"]) == {"ok"}
    assert set(run(tmp_path / "enough", "toy_push", limit=2, budget=15)["status"]) == {"ok"}


def test_references_have_no_budget(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "toy_half", limit=2, budget=1)
    assert set(records.loc[records["method"] == "reconstruction", "status"]) == {"ok"}
    assert set(records.loc[records["method"] == "toy_half", "status"]) == {"failed"}


def test_what_went_over_the_budget_is_not_tried_again(tmp_path: Path) -> None:
    for _ in range(2):
        run(tmp_path / "run", "toy_push", limit=2, budget=14)
    assert len(RunDirectory(tmp_path / "run").entries(Session)) == 1


def test_another_budget_is_another_run(tmp_path: Path) -> None:
    limited, unlimited = (planned("toy_push", limit=1, budget=budget)[1].tasks for budget in (20, None))
    assert limited[0].id != unlimited[0].id
    assert [task.id for task in limited[1:]] == [task.id for task in unlimited[1:]], "those of the reference methods"
    run(tmp_path / "run", "toy_push", limit=1, budget=20)
    with pytest.raises(UsageError, match=r"budget 20\.0, not 30"):
        workflow.run(ask("toy_push", limit=1, budget=30), tmp_path / "run")
    for budget in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match="--budget must be a positive number"):
            resolve(ask("toy_push", budget=budget))


def test_going_round_the_account_fails(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "toy_rude[fault=calls]", limit=2)
    rude = records[records["method"] == "toy_rude[fault=calls]"]
    assert set(rude["status"]) == {"failed"}
    assert set(rude["reason"]) == {"called a network past the account: call context.target and context.generator only"}
