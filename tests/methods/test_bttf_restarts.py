from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.methods.small import SHAPE, Linear, make_queries, passes
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.diffusion import denoise
from vcfe_bench.goals import AvoidGoal, ClassGoal, Confidence
from vcfe_bench.interfaces import Context, Query
from vcfe_methods.bttf_restarts import BTTFRestarts, BTTFRestartsParams
from vcfe_methods.noise_search import gram, style_loss

LATENT = (2, 5, 8, 8)
CERTAIN = 100.0
"""A threshold above every goal loss here, so that a video proceeds as soon as it meets its goal."""


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(dataset=None, target=Linear(), generator=ToyGenerator())


def _noise(queries: list[Query]) -> torch.Tensor:
    return torch.stack([torch.randn(LATENT, generator=query.generator("noise")) for query in queries])


@torch.no_grad()
def _draws(queries: list[Query], context: Context, steps: int) -> torch.Tensor:
    """The videos of the first noise of each query."""
    condition = context.generator.condition(torch.stack([query.sample.video[0] for query in queries]), SHAPE)
    return context.generator.decode(denoise(context.generator, _noise(queries), condition, steps))


@torch.no_grad()
def _half_met(context: Context, steps: int) -> list[Query]:
    """Queries of which the first and the third have a goal that their first noise meets with ``steps`` steps."""
    predicted = context.target(_draws(make_queries(), context, steps)).argmax(1).tolist()
    return make_queries([predicted[0], 1 - predicted[1], predicted[2], 1 - predicted[3]])


class _SecondNoise(Query):
    """A query whose first noise is the second noise of an ordinary query with the same seed."""

    def generator(self, component: str = "") -> torch.Generator:
        random = super().generator(component)
        torch.randn(LATENT, generator=random)
        return random


SHORT = {"steps": 3, "iterations": 6, "inversion_iterations": 4}


def test_schedule():
    assert BTTFRestartsParams(steps=3, iterations=7).schedule() == [(1, 2), (2, 2), (3, 3)]


def test_goal_loss_decreases_and_the_trace_is_complete(context):
    params = BTTFRestartsParams(**{**SHORT, "iterations": 30, "rate": 0.2, "enough": 0, "patience": 0})
    explanations, counts = passes(BTTFRestarts(params), make_queries(), context)
    for explanation, count in zip(explanations, counts, strict=True):
        losses = [v for v in explanation.trace["goal_loss"] if v == v]
        assert len(losses) == 30
        assert explanation.trace["n"] == [1] * 14 + [2] * 10 + [3] * 10
        steps = sum(explanation.trace["n"])
        assert count == {
            "condition": (1, 0),
            "encode": (1, 0),
            "velocity": (2 * steps + 3, steps),
            "decode": (30 + 1, 30),
            "target": (30, 30),
        }
        assert {len(v) for v in explanation.trace.values()} == {34}
        assert losses[-1] < 0.7 * losses[0]
        assert explanation.video.shape == (SHAPE[0], 3, *SHAPE[1:])


def test_inversion_brings_the_start_closer_to_the_original(context):
    short = {"steps": 1, "iterations": 1, "inversion_iterations": 60, "shell": False}
    with_it, without = (
        BTTFRestarts(BTTFRestartsParams(**short, inversion=on)).run(make_queries(), context) for on in (True, False)
    )
    assert all(len(e.trace["loss"]) == 1 for e in without)
    for explanation in with_it:
        curve = explanation.trace["loss"][:60]
        assert curve[-1] < 0.9 * curve[0]


def test_the_first_iteration_is_one_adamw_step_on_equation_2(context):
    queries = make_queries()
    p = BTTFRestartsParams(steps=1, iterations=1, inversion=False, rate=0.1, shell=False, style_weight=63.0)
    generator, target = context.generator, context.target
    original = torch.stack([q.sample.video for q in queries])
    condition = generator.condition(original[:, 0], SHAPE)
    noise = _noise(queries).requires_grad_()
    video = generator.decode(denoise(generator, noise, condition, 1))
    labels = torch.tensor([q.goal.index for q in queries])
    loss = nn.functional.cross_entropy(target(video), labels, reduction="sum")
    (loss + 7.0 * style_loss(video, gram(original)).sum()).backward()
    torch.optim.AdamW([noise], lr=0.1, weight_decay=0.0).step()
    with torch.no_grad():
        expected = generator.decode(denoise(generator, noise, condition, 1))
    results = torch.stack([e.video for e in BTTFRestarts(p).run(queries, context)])
    torch.testing.assert_close(results, expected, rtol=1e-3, atol=1e-3)


def test_the_shell_keeps_the_norm_of_the_noise(context):
    for shell in (True, False):
        params = BTTFRestartsParams(
            **{**SHORT, "iterations": 20, "rate": 0.3, "shell": shell, "enough": 0, "patience": 0}
        )
        for explanation in BTTFRestarts(params).run(make_queries(), context):
            start, end = explanation.trace["noise_norm"][0], explanation.trace["noise_norm"][-1]
            assert (abs(end - start) < 0.02 * start) == shell


def test_noise_is_not_updated_while_the_goal_is_met_below_the_threshold(context):
    queries = _half_met(context, 2)
    once = BTTFRestartsParams(steps=2, iterations=1, inversion=False, enough=CERTAIN)
    results = BTTFRestarts(once).run(queries, context)
    untouched = _draws(queries, context, 2)
    stays = [torch.allclose(e.video, video, atol=1e-6) for e, video in zip(results, untouched, strict=True)]
    assert stays == [True, False, True, False]
    always = BTTFRestartsParams(steps=2, iterations=1, inversion=False, enough=0)
    moved = BTTFRestarts(always).run(queries, context)
    assert not any(torch.allclose(e.video, video, atol=1e-6) for e, video in zip(moved, untouched, strict=True))


def test_a_met_goal_saves_iterations_for_the_last_number_of_steps(context):
    queries = _half_met(context, 1)
    p = BTTFRestartsParams(steps=2, iterations=6, inversion=False, rate=1e-4, enough=CERTAIN)
    results, counts = passes(BTTFRestarts(p), queries, context)
    for i, (explanation, count) in enumerate(zip(results, counts, strict=True)):
        levels = explanation.trace["n"]
        if i % 2:
            assert levels[:3] == [1, 1, 1]
        else:
            assert levels in ([1, 2], [1, *[2] * 6])
        steps, iterations = sum(levels), len(levels)
        assert count["velocity"] == (2 * steps + 2, steps)
        assert count["decode"] == (iterations + 1, iterations)
        assert count["target"] == (iterations, iterations)


@pytest.mark.parametrize("goal", [AvoidGoal(0), Confidence(1, 0.9)])
def test_goals_whose_loss_is_small_before_they_are_met_move_the_noise(context, goal):
    sure = Linear()
    with torch.no_grad():
        sure.layer.weight /= 10
        sure.layer.bias[:] = torch.tensor([0.0, 2.0 if isinstance(goal, Confidence) else -30.0])
    p = BTTFRestartsParams(steps=1, iterations=2, inversion=False, rate=0.5)
    untouched = _draws(make_queries([goal] * 4), Context(None, sure, context.generator), 1)
    with torch.no_grad():
        assert not goal.met(sure(untouched)).any()
    results = BTTFRestarts(p).run(make_queries([goal] * 4), Context(None, sure, context.generator))
    for explanation, video in zip(results, untouched, strict=True):
        assert not torch.allclose(explanation.video, video, atol=1e-2)


def test_a_stalled_search_restarts_from_new_noise_without_moments(context):
    short = {"steps": 1, "inversion": False, "enough": 0, "rate": 0.3}
    results = BTTFRestarts(BTTFRestartsParams(**short, iterations=5, patience=2)).run(make_queries(), context)
    one_start = BTTFRestarts(BTTFRestartsParams(**short, iterations=5, patience=0)).run(make_queries(), context)
    from_second = BTTFRestarts(BTTFRestartsParams(**short, iterations=2, patience=0)).run(
        [_SecondNoise(query.sample, query.goal, query.seed) for query in make_queries()], context
    )
    for explanation, other, second in zip(results, one_start, from_second, strict=True):
        assert explanation.trace["loss"][:2] == other.trace["loss"][:2]
        assert explanation.trace["loss"][2] != other.trace["loss"][2]
        assert explanation.trace["loss"][2:4] == pytest.approx(second.trace["loss"], rel=1e-4)


def test_new_noise_is_inverted_like_the_first(context):
    short = {"steps": 1, "enough": 0, "rate": 0.3, "inversion_iterations": 3}
    results = BTTFRestarts(BTTFRestartsParams(**short, iterations=3, patience=2)).run(make_queries(), context)
    from_second = BTTFRestarts(BTTFRestartsParams(**short, iterations=1, patience=0)).run(
        [_SecondNoise(query.sample, query.goal, query.seed) for query in make_queries()], context
    )
    for explanation, second in zip(results, from_second, strict=True):
        assert np.isnan(explanation.trace["goal_loss"]).tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False]
        assert explanation.trace["loss"][5:] == pytest.approx(second.trace["loss"], rel=1e-4)


def test_no_restart_after_the_last_iteration(context):
    short = {"steps": 1, "inversion": False, "enough": 0, "iterations": 2}
    videos = [
        torch.stack(
            [e.video for e in BTTFRestarts(BTTFRestartsParams(**short, patience=patience)).run(make_queries(), context)]
        )
        for patience in (0, 2)
    ]
    assert torch.equal(*videos)


def test_results_do_not_depend_on_the_rest_of_the_batch(context):
    method = BTTFRestarts(BTTFRestartsParams(**SHORT, enough=CERTAIN, patience=2))
    queries = _half_met(context, 1)
    results = method.run(queries, context)
    assert len({len(e.trace["n"]) for e in results}) > 1
    others = make_queries(goals=(1, 1, 1, 0), seed=50, videos=3)
    mixed = method.run([others[0], queries[1], *others[2:]], context)
    assert torch.equal(results[1].video, mixed[1].video)
    assert not torch.equal(results[0].video, mixed[0].video)


def test_needs_a_generator(context):
    assert BTTFRestarts().supports(None, context.target, None, ClassGoal(0)) == "needs a generator"
