"""Metrics and readers of other distributions run in a worker process, those of this one do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from vcfe_bench.core.errors import CallFailed, UsageError, describe
from vcfe_bench.executors import choice
from vcfe_bench.executors.pool import Pool
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Dataset, Sample, SampleMetric
from vcfe_bench.plugins import apart, registry
from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.metric import Footage
from vcfe_bench.plugins.read_only import read_only
from vcfe_bench.scoring.samples import measured, score_case
from vcfe_bench.workflows.one_video import OneVideo


@pytest.fixture
def pool() -> Iterator[None]:
    with choice.using(Pool(timeout=60)):
        yield
    apart.release()


def case_of(dataset: Dataset) -> Case:
    sample = dataset.sample("test", 0)
    video = read_only((sample.video * 0.5 * 255).round() / 255)
    goal = ClassGoal((int(sample.label) + 1) % 3)
    sample = Sample(sample.id, read_only(sample.video), sample.label, sample.fps, sample.attributes)
    outputs = [read_only(torch.arange(3.0)), read_only(torch.arange(3.0).flip(0))]
    return Case(dataset, sample, goal, video, *outputs)


def where(metric: Any, then: Callable[[], object] = int) -> int:
    then()
    return os.getpid()


def test_only_registered_plug_ins_of_other_distributions_are_foreign() -> None:
    assert apart.foreign(registry.METRICS.build("toy_flip"))
    assert apart.foreign(registry.DATASETS.build("toy_lights[frames=3]"))
    assert not apart.foreign(registry.METRICS.build("ssim"))
    assert not apart.foreign(registry.DATASETS.build("shape_moving"))
    assert not apart.foreign(OneVideo.__new__(OneVideo))


def test_functions_of_own_plug_ins_and_all_with_in_process_are_called_here(pool: None) -> None:
    assert apart.call(registry.METRICS.build("ssim"), where, None) == os.getpid()
    with choice.using(choice.InProcess()):
        assert apart.call(registry.METRICS.build("toy_flip"), where, None) == os.getpid()


def test_a_case_arrives_with_its_plug_ins_and_read_only_without_what_was_derived_from_it() -> None:
    case = case_of(registry.DATASETS.build("toy_lights[frames=3]"))
    case.original.cached("far too large", lambda: [lambda: None])
    arrived = apart._unpacked(apart._packed(case))
    assert arrived.dataset.spec == "toy_lights[frames=3]"
    assert type(arrived.dataset) is type(case.dataset)
    assert arrived.counterfactual.equal(case.counterfactual)
    assert arrived.original.cached("far too large", lambda: 1) == 1
    assert isinstance(arrived.edited, Footage)
    for tensor in (arrived.counterfactual, arrived.sample.video, arrived.before, arrived.after):
        with pytest.raises(TypeError, match="cannot be changed in place"):
            tensor.mul_(0)


@pytest.mark.slow
def test_a_foreign_metric_has_the_same_value_elsewhere(pool: None) -> None:
    case = case_of(registry.DATASETS.build("toy_lights"))
    metrics: list[Any] = [registry.METRICS.build(name) for name in ("toy_flip", "toy_change")]
    with choice.using(choice.InProcess()):
        expected = score_case(case, metrics)
    assert score_case(case, metrics) == expected
    assert apart.call(metrics[0], where, None) != os.getpid()
    assert apart.call(metrics[0], measured, metrics[0], case)[0] == expected.values["toy_FR"]


@pytest.mark.slow
def test_exceptions_are_those_of_the_call_and_a_plug_in_without_answers_is_given_up(pool: None) -> None:
    metric: SampleMetric = registry.METRICS.build("toy_flip")  # type: ignore[assignment]
    with pytest.raises(UsageError, match=r"^invalid literal"):
        apart.call(metric, where, None, _mistaken)
    with pytest.raises(CallFailed) as failure:
        apart.call(metric, divmod, 1, 0)
    assert describe(failure.value).startswith("ZeroDivisionError: integer division")
    with pytest.raises(CallFailed, match="cannot be called in a worker process"):
        apart.call(metric, where, None, lambda: None)
    for _ in range(apart.LOSSES):
        with pytest.raises(CallFailed, match="exited with code 7"):
            apart.call(metric, os._exit, 7)
    with pytest.raises(CallFailed, match="not called again"):
        apart.call(metric, where, None)


@pytest.mark.slow
def test_a_foreign_dataset_is_read_elsewhere_with_the_same_bits(pool: None) -> None:
    here, there = registry.DATASETS.build("toy_lights"), apart.dataset("toy_lights")
    assert type(there) is type(here)
    sample, other = here.sample("test", 3), checked_sample(there, "test", 3)
    assert other.video.equal(sample.video)
    assert (other.id, other.label, other.attributes) == (sample.id, sample.label, sample.attributes)
    edit: Tensor = there.true_edit(other, ClassGoal(1))  # type: ignore[attr-defined]
    assert edit.equal(here.true_edit(sample, ClassGoal(1)))  # type: ignore[attr-defined]
    assert there.size("test") == here.size("test")


def _mistaken() -> None:
    raise UsageError("invalid literal")
