from __future__ import annotations

import math

import pytest
import torch

from tests.methods.small import SHAPE, Linear, make_queries, passes
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.diffusion import denoise
from vcfe_bench.goals import ClassGoal, Confidence
from vcfe_bench.interfaces import Calls, Context, Query
from vcfe_bench.plugins.counted import counted
from vcfe_bench.video.lossless import dequantise, quantise
from vcfe_methods.random_draws import DrawParams, NearestDraw, RandomDraws

STEPS, DRAWS = 2, 12
PARAMS = DrawParams(steps=STEPS, draws=DRAWS)
EACH = STEPS + 2
"""Calls of a draw."""


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(dataset=None, target=Linear(), generator=ToyGenerator())


@torch.no_grad()
def _draws(query: Query, context: Context) -> list[tuple[torch.Tensor, float, bool, float]]:
    """Stored video, goal loss, success and L1 distance of every draw, computed independently."""
    generator, original = context.generator, query.sample.video
    condition = generator.condition(original[:1], SHAPE)
    random, found = query.generator("noise"), []
    for _ in range(DRAWS):
        noise = torch.randn(1, *generator.latent_shape(SHAPE), generator=random)
        pixels = quantise(generator.decode(denoise(generator, noise, condition, STEPS)))[0]
        output = context.target(dequantise(pixels)[None])
        distance = (pixels.double() - quantise(original).double()).abs().mean().item()
        found.append((dequantise(pixels), query.goal.loss(output).item(), bool(query.goal.met(output)), distance))
    return found


def _goals(context: Context) -> list[ClassGoal]:
    """Goals that the first draw does not meet and a later one does, where there is such a class."""
    return [ClassGoal(1 - int(_draws(query, context)[0][2] == (query.goal.index == 1))) for query in make_queries()]


def test_random_draws_returns_the_first_that_meets_the_goal(context):
    queries = make_queries(_goals(context))
    results, counts = passes(RandomDraws(PARAMS), queries, context)
    positions = []
    for query, explanation, count in zip(queries, results, counts, strict=True):
        draws = _draws(query, context)
        hit = next(k for k, (_, _, met, _) in enumerate(draws) if met)
        positions.append(hit)
        assert torch.equal(explanation.video, draws[hit][0])
        made = hit + 1
        assert explanation.trace["met"] == [0.0] * hit + [1.0]
        assert explanation.trace["goal_loss"] == pytest.approx([loss for _, loss, _, _ in draws[:made]])
        assert count == {
            "condition": (1, 0),
            "velocity": (STEPS * made, 0),
            "decode": (made, 0),
            "target": (made, 0),
        }
    assert len(set(positions)) > 1


def test_nearest_draw_returns_the_nearest_of_those_that_meet_the_goal(context):
    queries = make_queries(_goals(context))
    first = RandomDraws(PARAMS).run(queries, context)
    results, counts = passes(NearestDraw(PARAMS), queries, context)
    for query, explanation, count in zip(queries, results, counts, strict=True):
        successes = [draw for draw in _draws(query, context) if draw[2]]
        nearest = min(successes, key=lambda draw: draw[3])
        assert torch.equal(explanation.video, nearest[0])
        assert count["velocity"] == (STEPS * DRAWS, 0)
        assert [255 * d for d in explanation.trace["L1"]] == pytest.approx([d for *_, d in _draws(query, context)])
    assert any(not torch.equal(a.video, b.video) for a, b in zip(first, results, strict=True))


@pytest.mark.parametrize("method", [RandomDraws, NearestDraw])
def test_without_a_success_the_draw_with_the_lowest_goal_loss_is_returned(context, method):
    queries = make_queries([ClassGoal(0) & Confidence(0, 1 - 1e-6)] * 4)
    for query, explanation in zip(queries, method(PARAMS).run(queries, context), strict=True):
        draws = _draws(query, context)
        assert not any(met for _, _, met, _ in draws)
        assert torch.equal(explanation.video, min(draws, key=lambda draw: draw[1])[0])
        assert len(explanation.trace["met"]) == DRAWS


@pytest.mark.parametrize("draws", [1, 5, 3 * DRAWS])
def test_a_budget_sets_the_number_of_draws(context, draws):
    for spare in (0, EACH - 1):
        calls = Calls(4, budget=1 + draws * EACH + spare)
        results = NearestDraw(PARAMS).run(make_queries(), counted(context, calls))
        assert [len(e.trace["met"]) for e in results] == [draws] * 4
        assert [calls.spent(row) for row in range(4)] == [1 + draws * EACH] * 4


def test_a_result_does_not_change_when_it_is_stored(context):
    for method in (RandomDraws, NearestDraw):
        for explanation in method(PARAMS).run(make_queries(), context):
            assert torch.equal(dequantise(quantise(explanation.video)), explanation.video)


def test_the_steps_are_those_of_bttf():
    from vcfe_methods.bttf import BTTF, BTTFParams

    for name, values in RandomDraws.presets.items():
        assert DrawParams(**values).steps == BTTFParams(**BTTF.presets[name]).steps
    assert math.isinf(Calls(1).left(0))
