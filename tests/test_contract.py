"""What plug-ins return is checked where it arrives, and what they change besides is put back."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from vcfe_toys.dataset import Lights
from vcfe_toys.models import Conv

from tests.harness.toys import planned
from tests.torture.plugins.vcfe_hostile import datasets, methods, metrics, targets
from vcfe_bench.core import process_state
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import AvoidGoal, ClassGoal, Confidence, Goal, ValueGoal, obstacle, parse
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.outputs import checked_output
from vcfe_bench.plugins.contract.samples import checked_sample, checked_size
from vcfe_bench.plugins.metric import Case
from vcfe_bench.plugins.read_only import ReadOnly, read_only
from vcfe_bench.runs.micro_batch import Outcome, perform
from vcfe_bench.runs.network_guard import checksum
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import make
from vcfe_bench.runs.setup import Setup
from vcfe_bench.scoring.samples import score_case

ALLOWED = {"artefact_tensor", "double", "half", "gradient", "generator"}
"""What a method may return although it is unusual."""

SKIPPED = {"fork", "close_stdout", "close_stderr", "signal_handler", "thread_left", "recursion_limit", *methods.ENDS}
"""Deeds that would end the tests; they are for worker processes."""


def setup_with(**params: Any) -> Setup:
    setup, _ = planned("toy_half", limit=2)
    method = methods.Hostile(methods.HostileParams(**params))
    method.spec = "hostile"
    return replace(setup, methods=(method,))


def outcomes(setup: Setup) -> dict[str, Outcome]:
    plan = make(setup, Originals(setup, {}))
    found = [perform(setup, batch, lambda update: None) for batch in plan.batches(set())]
    return {outcome.task.original.sample: outcome for each in found for outcome in each}


@pytest.mark.parametrize("fault", sorted(methods.RETURNS))
def test_what_a_method_returns_is_stored_or_refused(fault: str) -> None:
    found = outcomes(setup_with(fault=fault))
    assert found["light-0"].record.status == "ok"
    record, pixels = found["light-1"].record, found["light-1"].pixels
    if fault in ALLOWED:
        assert record.status == "ok"
        assert pixels is not None
        assert pixels.dtype is torch.uint8
        return
    assert (record.status, pixels) == ("failed", None)
    assert record.reason.isprintable()
    assert record.reason


@pytest.mark.parametrize("deed", sorted(set(methods.DEEDS) - SKIPPED))
def test_nothing_that_a_method_does_reaches_the_next_one(deed: str) -> None:
    setup = setup_with(fault=deed)
    before, random_state, weights = process_state.settings(), random.getstate(), checksum(setup.target.conv.weight)
    found = outcomes(setup)
    assert process_state.restore(before) == []
    assert random.getstate() == random_state
    assert checksum(setup.target.conv.weight) == weights
    assert not setup.target.training
    assert found["light-0"].record.status == "ok"
    assert setup.dataset.sample("test", 0).video.equal(Lights().sample("test", 0).video)
    record = found["light-1"].record
    raises = deed.startswith(("raise", "exit", "base", "generator", "stop", "usage", "memory", "recursion"))
    assert (record.status == "failed") == (raises or deed in ("weights", "training"))
    assert record.reason.isprintable()
    named = {"dtype": "default dtype", "no_grad": "grad mode", "threads": "number of threads"}
    named |= {"directory": "working directory", "environment": "environment variables", "device": "default device"}
    named |= {"own_query": "video of a query", "dataset": "methods of the dataset", "autocast": "autocast"}
    if deed in named:
        assert record.side_effects == named[deed]
    if deed == "weights":
        assert record.reason == "the weights of the target were changed while it ran: its results are void"


def test_a_method_that_changes_nothing_has_no_side_effects() -> None:
    assert {outcome.record.side_effects for outcome in outcomes(setup_with()).values()} == {""}


@pytest.mark.parametrize("fault", sorted(datasets.SAMPLES))
def test_samples_are_checked(fault: str) -> None:
    dataset = datasets.HostileLights(datasets.HostileLightsParams(fault=fault))
    index = next(i for i in range(40) if Lights().sample("test", i).id == "light-1")
    if fault == "label_numpy":
        assert type(checked_sample(dataset, "test", index).label) is int
    elif fault != "same_id":
        with pytest.raises(UsageError, match="video") as caught:
            checked_sample(dataset, "test", index)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("fault", ["size_raise", *datasets.SIZES])
def test_sizes_are_checked(fault: str) -> None:
    with pytest.raises(UsageError, match="test split"):
        checked_size(datasets.HostileLights(datasets.HostileLightsParams(fault=fault)), "test")


def test_two_videos_cannot_have_one_id() -> None:
    setup, _ = planned("toy_half", limit=2)
    setup = replace(setup, dataset=datasets.HostileLights(datasets.HostileLightsParams(fault="same_id")))
    with pytest.raises(UsageError, match="have the same id light-0"):
        make(setup, Originals(setup, {}))


@pytest.mark.parametrize("fault", sorted(targets.OUTPUTS))
def test_outputs_are_checked(fault: str) -> None:
    target = targets.HostileConv(targets.HostileConvParams(fault=fault)).eval()
    video = Lights().sample("test", 0).video
    width = 3 if fault in ("wide", "one") else None
    with pytest.raises(ContractError, match="target"):
        checked_output(target, video, width)
    assert checked_output(Conv(), video) == tuple(Conv()(video[None]).detach()[0].tolist())


def case() -> Case:
    sample = Lights().sample("test", 0)
    sample = replace(sample, video=read_only(sample.video))
    mask = np.ones(2)
    mask.setflags(write=False)
    outputs = [read_only(torch.tensor([3.0, 1.0, 2.0])), read_only(torch.tensor([1.0, 3.0, 2.0]))]
    return Case(Lights(), sample, ClassGoal(1), read_only(sample.video / 2), *outputs, artefacts={"mask": mask})


@pytest.mark.parametrize("fault", sorted([*metrics.SCORES, *metrics.CURVES]))
def test_a_metric_fails_alone(fault: str) -> None:
    given_case = case()
    before = process_state.settings()
    videos = [given_case.sample.video.clone(), given_case.counterfactual.clone(), given_case.after.clone()]
    hostile = metrics.HostileScore(metrics.FaultParams(fault=fault))
    steady = metrics.HostileScore()
    steady.card = replace(steady.card, name="steady")
    if fault == "interrupt":  # in the main thread, it is the user's
        with pytest.raises(KeyboardInterrupt):
            score_case(given_case, [hostile])
        return
    scores = score_case(given_case, [hostile, steady])
    assert list(scores.errors) == ["hostile"]
    assert scores.errors["hostile"].isprintable()
    assert scores.values["steady"] == 0.5
    assert not scores.curves
    after = [given_case.sample.video, given_case.counterfactual, given_case.after]
    assert all(a.equal(b) for a, b in zip(videos, after, strict=True))
    assert process_state.restore(before) == []


READS: list[Callable[[torch.Tensor], Any]] = [
    lambda x: x + 1,
    lambda x: x[0].clone().zero_(),
    lambda x: torch.nn.functional.avg_pool2d(x, 2),
    lambda x: torch.stack([x, x]).unbind()[0],
    lambda x: x.numpy().sum(),
    lambda x: torch.zeros(4, 3, 8, 8).copy_(x).mul_(2),
    lambda x: torch.autograd.grad((y := x.clone().requires_grad_()).square().sum(), y)[0],
]


@pytest.mark.parametrize("read", READS)
def test_read_only_tensors_compute_what_others_do(read: Callable[[torch.Tensor], Any]) -> None:
    plain = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found, wanted = read(read_only(plain.clone())), read(plain.clone())
    assert not isinstance(found, ReadOnly)
    assert bool((torch.as_tensor(found) == torch.as_tensor(wanted)).all())


def test_no_view_of_a_read_only_tensor_can_be_written() -> None:
    plain = torch.rand(4, 3, 8, 8)
    before, view = plain.clone(), read_only(plain)
    for part in (view, view[0], view.detach(), view.data, view.permute(1, 0, 2, 3), next(iter(view)), view.unbind()[1]):
        with pytest.raises(TypeError, match="work on a copy"):
            part.zero_()
    view.numpy()[:] = 0
    assert plain.equal(before)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(1, 1500), elements=st.floats(-1, 1, width=32)), st.data())
def test_the_checksum_sees_every_single_change(values: np.ndarray, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    changed = values.copy()
    changed.view(np.uint32)[place] ^= np.uint32(1) << data.draw(st.integers(0, 31))
    assert checksum(torch.from_numpy(values.copy())) == checksum(torch.from_numpy(values))
    assert checksum(torch.from_numpy(changed)) != checksum(torch.from_numpy(values))


@pytest.mark.parametrize(
    ("goal", "outputs", "possible"),
    [
        (ClassGoal(2), 3, True),
        (ClassGoal(3), 3, False),
        (ClassGoal(-1), 3, False),
        (AvoidGoal(99), 3, False),
        (Confidence(1, 0.5), 3, True),
        (Confidence(1, 2.0), 3, False),
        (Confidence(1, float("nan")), 3, False),
        (ClassGoal(0), 1, False),
        (ValueGoal(5.0, 1.0), 1, True),
        (ValueGoal(float("nan"), 1.0), 1, False),
        (ValueGoal(5.0, 0.0), 1, False),
        (ValueGoal(5.0, 1.0), 3, False),
        (ClassGoal(1) & Confidence(1, 0.0), 3, False),
    ],
)
def test_goals_that_no_output_can_meet_are_told(goal: Goal, outputs: int, possible: bool) -> None:
    assert (obstacle(goal, outputs) is None) == possible


def test_endless_goals_are_no_goals() -> None:
    with pytest.raises(ValueError, match="5000 goals are combined"):
        parse("&".join(["class=1"] * 5000))
