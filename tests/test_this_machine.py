"""The row of ``vcfe-bench plan`` for this machine, and costs of deep networks from shallow ones."""

from __future__ import annotations

import time
from collections import Counter
from math import ceil

import pytest
from torch import nn

from tests.models import pipelines
from vcfe_bench.core import text
from vcfe_bench.costs import networks as networks_module
from vcfe_bench.costs import stacks
from vcfe_bench.costs.dry_run import Call
from vcfe_bench.costs.estimate import estimate
from vcfe_bench.costs.networks import REPEATS, Networks, small
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.plugins import registry
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request
from vcfe_bench.workflows.run import run

REQUEST = Request(("pgd",), "toy_lights", limit=4)
PAUSE = 0.02
"""Seconds of a pass on one video."""


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Lets the target of ``toy_lights`` take ``PAUSE`` for each video; counts its passes by the number of videos."""
    counted: Counter[int] = Counter()
    cls = type(registry.TARGETS.build(registry.DATASETS.build("toy_lights").target))
    forward = cls.forward

    def slow(self, video):
        counted[len(video)] += 1
        time.sleep(PAUSE * len(video))
        return forward(self, video)

    monkeypatch.setattr(cls, "forward", slow)
    return counted


def test_the_time_on_this_machine_is_close_to_that_of_the_run_that_follows(passes, tmp_path):
    result = estimate(REQUEST)
    planned = dict(zip([cost.method for cost in result.methods], result.here.seconds, strict=True))
    out = run(REQUEST, tmp_path / "run", metrics=("toy_flip",), executor=InProcess())
    taken = sum(record.seconds for record in RunDirectory(out).records().values() if record.method == "pgd")
    assert planned["pgd"] == pytest.approx(taken, rel=0.3)
    width = registry.METHODS.build("pgd").width
    assert taken > 0.8 * ceil(4 / width) * 10 * width * PAUSE


def test_an_estimate_makes_few_passes(passes):
    estimate(REQUEST)
    width = registry.METHODS.build("pgd").width
    assert passes[1] <= 1 + REPEATS
    assert passes[width] <= REPEATS + passes[1] * (width == 1)
    assert set(passes) <= {1, width}


def test_calls_on_larger_clips_are_timed_on_those_of_the_dataset(passes):
    own = estimate(REQUEST).here
    passes.clear()
    larger = estimate(REQUEST, shape=(5, 48, 48)).here
    assert "scaled by operations" in larger.calibration
    assert set(passes) <= {1, registry.METHODS.build("pgd").width}
    assert larger.seconds[0] > 2 * own.seconds[0]


def test_a_generator_is_timed_only_if_its_weights_are_here_and_small(monkeypatch):
    assert all(map(small, (None, "toy_blocks", "wan_shape_moving")))
    assert not small("wan[path=Wan-AI/Wan2.1-I2V-14B-480P-Diffusers]")
    monkeypatch.setattr(networks_module, "SMALL", 1000)
    assert not small("wan_shape_moving")


@pytest.mark.parametrize("activations", ["keep", "recompute"])
def test_a_deep_stack_costs_what_a_shallow_one_tells(tmp_path, monkeypatch, activations):
    transformer = pipelines.wan_transformer(num_attention_heads=2, attention_head_dim=12, ffn_dim=64, num_layers=14)
    pipelines.wan(transformer=transformer, vae=pipelines.wan_vae(base_dim=8)).save_pretrained(tmp_path)
    spec, call = f"wan[path={tmp_path},dtype=float32,activations={activations}]", Call("velocity", 5)
    told = Networks(spec, nn.Identity(), (32, 32))
    extrapolated = told.cost(call, 1, True)
    monkeypatch.setattr(stacks, "DEEP", 1000)
    whole = Networks(spec, nn.Identity(), (32, 32)).cost(call, 1, True)
    assert extrapolated.flops == whole.flops
    assert extrapolated.peak == pytest.approx(whole.peak, rel=0.02)
    assert len(told.generator.networks()["transformer"].blocks) == 14


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.194, "0.19 s"), (95.7, "96 s"), (99.6, "1.7 min"), (720, "12 min"), (6480, "1.8 h"), (648_000, "180 h")],
)
def test_durations_have_the_unit_that_suits_them(seconds, written):
    assert text.duration(seconds) == written
