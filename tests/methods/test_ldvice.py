from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from tests.methods.small import SHAPE, Linear, make_queries, passes
from tests.models import tiny_wan
from vcfe_bench.diffusion import euler_step
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Context, Query
from vcfe_methods.ldvice import LDViCE, LDViCEParams, LDViCERA, LDViCERAParams, refinement_mask


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    return Context(dataset=None, target=Linear(), generator=tiny_wan.generator(tmp_path_factory.mktemp("wan")))


def _start(queries: list[Query], context: Context, sigma: float = 0.5):
    """The noisy latents and the condition, computed independently."""
    generator = context.generator
    originals = torch.stack([query.sample.video for query in queries])
    noise = torch.stack([torch.randn(4, 2, 2, 2, generator=query.generator("noise")) for query in queries])
    z = (1 - sigma) * generator.encode(originals) + sigma * noise
    return z, generator.condition(originals[:, 0], SHAPE)


def _unguided(queries: list[Query], context: Context, steps: int) -> torch.Tensor:
    generator = context.generator
    z, condition = _start(queries, context)
    with torch.no_grad():
        for sigma, next_sigma in pairwise(generator.sigmas(steps, 0.5)):
            z = euler_step(generator, z, sigma, next_sigma, condition)
        return generator.decode(z)


def _videos(explanations) -> torch.Tensor:
    return torch.stack([explanation.video for explanation in explanations])


def _against(context: Context, steps: int) -> list[Query]:
    """Queries whose goals the unguided videos do not meet."""
    with torch.no_grad():
        predicted = context.target(_unguided(make_queries(), context, steps).clamp(0, 1)).argmax(1).tolist()
    return make_queries([1 - label for label in predicted])


def _losses(context: Context, queries: list[Query], videos: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([q.goal.loss(context.target(v[None])) for q, v in zip(queries, videos, strict=True)])


@pytest.mark.parametrize("through", ["full", "decoder"])
def test_one_step_by_hand(context, through):
    queries = _against(context, 1)
    generator = context.generator
    z_t, condition = _start(queries, context)
    z_t.requires_grad_()
    v = generator.velocity(z_t, 0.5, condition)
    clean = z_t - 0.5 * v
    labels = torch.tensor([query.goal.index for query in queries])
    loss = F.cross_entropy(context.target(generator.decode(clean)), labels, reduction="sum")
    (g,) = torch.autograd.grad(loss, z_t if through == "full" else clean)
    z = torch.stack([clean[i] - 0.2 * (clean[i] - z_t[i]).norm() * g[i] / g[i].norm() for i in range(4)])
    with torch.no_grad():
        expected = generator.decode(z)
    results = LDViCE(LDViCEParams(steps=1, scale=0.2, through=through)).run(queries, context)
    torch.testing.assert_close(_videos(results), expected, rtol=1e-4, atol=1e-4)


def test_guidance_lowers_the_loss_and_pauses_while_the_goal_is_met(context):
    queries = _against(context, 4)
    results = LDViCE(LDViCEParams(steps=4)).run(queries, context)
    before = _losses(context, queries, _unguided(queries, context, 4))
    assert (_losses(context, queries, _videos(results)) < before).all()
    with torch.no_grad():
        predicted = context.target(_videos(results).clamp(0, 1)).argmax(1).tolist()
    assert predicted == [query.goal.index for query in queries]
    for explanation in results:
        losses, scales = explanation.trace["goal_loss"], explanation.trace["scale"]
        assert scales == [2.0 if loss > math.log(2) else 0.0 for loss in losses]
        assert set(scales) == {0.0, 2.0}


def test_scale_zero_is_plain_denoising(context):
    queries = _against(context, 3)
    results = LDViCE(LDViCEParams(steps=3, scale=0.0)).run(queries, context)
    assert torch.equal(_videos(results), _unguided(queries, context, 3))


def test_goals_met_without_guidance_change_nothing(context):
    wanted = [1 - query.goal.index for query in _against(context, 1)]
    queries = make_queries(wanted)
    plain = LDViCE(LDViCEParams(steps=1)).run(queries, context)
    assert torch.equal(_videos(plain), _unguided(queries, context, 1))
    assert all(explanation.trace["scale"] == [0.0] for explanation in plain)
    refined = LDViCERA(LDViCERAParams(steps=1)).run(queries, context)
    for explanation, query in zip(refined, queries, strict=True):
        assert not explanation.artefacts["mask"].any()
        assert torch.equal(explanation.video, query.sample.video)


def test_the_mask_by_hand():
    reference = torch.full((2, 2, 3, 16, 16), 0.5)
    changed = reference.clone()
    changed[0, 0, :, 4, 6] += torch.tensor([0.1, -0.1, 0.2])  # D = 0.4, the greatest
    changed[0, 0, 0, 12, 12] += 0.07  # 0.175 of it
    changed[0, 1, 1, 0, 15] += 0.05  # 0.125 of it
    expected = torch.zeros(2, 2, 16, 16, dtype=torch.bool)
    expected[0, 0, 3:6, 5:8] = True
    expected[0, 0, 11:14, 11:14] = True
    assert torch.equal(refinement_mask(changed, reference, 0.15, 1 / 16), expected)
    expected[0, 1, 0:2, 14:16] = True
    assert torch.equal(refinement_mask(changed, reference, 0.12, 1 / 16), expected)
    undilated = refinement_mask(changed, reference, 0.15, 0.0)
    assert undilated.nonzero().tolist() == [[0, 0, 4, 6], [0, 0, 12, 12]]


def test_the_mask_ignores_differences_that_clamping_removes():
    reference = torch.ones(1, 1, 3, 8, 8)
    assert not refinement_mask(reference + 0.5, reference, 0.15, 0.0).any()


def test_refinement_restores_the_original_outside_the_mask(context):
    queries = _against(context, 3)
    params = {"steps": 3, "threshold": 0.5, "dilation": 0.07}
    refined = LDViCERA(LDViCERAParams(**params)).run(queries, context)
    unrefined = _videos(LDViCE(LDViCEParams(**params)).run(queries, context))
    reference = _unguided(queries, context, 3)
    for i, (explanation, query) in enumerate(zip(refined, queries, strict=True)):
        mask = torch.from_numpy(explanation.artefacts["mask"])
        assert (mask.dtype, tuple(mask.shape)) == (torch.bool, SHAPE)
        assert mask.any()
        assert not mask.all()
        inside = mask[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(explanation.video[~inside], query.sample.video[~inside])
        assert torch.equal(explanation.video[inside], unrefined[i][inside])
        change = (unrefined[i].clamp(0, 1) - reference[i].clamp(0, 1)).abs().sum(1)
        assert mask[change >= 0.5 * change.max()].all()


def test_passes_and_artefacts(context):
    (plain, *_), plain_counts = passes(LDViCE(LDViCEParams(steps=2)), make_queries(), context)
    (refined, *_), refined_counts = passes(LDViCERA(LDViCERAParams(steps=2)), make_queries(), context)
    guided = {"condition": (1, 0), "encode": (1, 0), "velocity": (2, 0), "decode": (3, 2), "target": (4, 2)}
    assert plain_counts == [guided] * 4
    assert refined_counts == [{**guided, "velocity": (4, 0), "decode": (4, 2)}] * 4
    assert not plain.artefacts
    assert set(refined.artefacts) == {"mask"}


def test_the_refined_variant_is_a_parameter_of_the_plain_one(context):
    flag = LDViCE(LDViCEParams(steps=1, refine=True)).run(make_queries(), context)
    name = LDViCERA(LDViCERAParams(steps=1)).run(make_queries(), context)
    assert torch.equal(_videos(flag), _videos(name))
    assert LDViCERA().params.refine
    assert not LDViCE().params.refine


@pytest.mark.parametrize("method", [LDViCE(LDViCEParams(steps=2)), LDViCERA(LDViCERAParams(steps=2))])
def test_results_do_not_depend_on_the_rest_of_the_batch(context, method):
    results = method.run(make_queries(), context)
    others = make_queries(goals=(1, 1, 1, 0), seed=50, videos=3)
    mixed = method.run([others[0], make_queries()[1], others[2], others[3]], context)
    assert torch.equal(results[1].video, mixed[1].video)
    assert results[1].trace == mixed[1].trace
    assert not torch.equal(results[0].video, mixed[0].video)


def test_a_regressor_reaches_the_requested_value(context):
    context = Context(None, Linear(outputs=1), context.generator)
    with torch.no_grad():
        values = context.target(_unguided(make_queries(), context, 8).clamp(0, 1))[:, 0].tolist()
    sides = (0.1, -0.1, 0.1, -0.1)
    queries = make_queries([ValueGoal(v + side, 0.03) for v, side in zip(values, sides, strict=True)])
    results = LDViCE(LDViCEParams(steps=8, scale=1.0)).run(queries, context)
    with torch.no_grad():
        reached = context.target(_videos(results).clamp(0, 1))[:, 0].tolist()
    for query, explanation, value in zip(queries, results, reached, strict=True):
        assert abs(value - query.goal.value) < 0.05
        assert explanation.trace["scale"][0] == 1.0
        assert 0.0 in explanation.trace["scale"]


def test_needs_a_generator(context):
    assert LDViCE().supports(None, context.target, None, ClassGoal(0)) == "needs a generator"
