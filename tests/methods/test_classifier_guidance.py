from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from tests.methods.small import FRAMES, HEIGHT, SHAPE, WIDTH, Linear, make_queries, passes
from tests.models import tiny_wan
from vcfe_bench.diffusion import denoise, euler_step
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Context, Query, Sample, Target
from vcfe_methods.classifier_guidance import CGFrame, CGMidParams, CGParams, CGVideo, CGVideoMid, draw, reached

LATENT = (4, 2, 2, 2)
METHODS = [(CGVideo, CGParams), (CGVideoMid, CGMidParams), (CGFrame, CGMidParams)]


class _Brightest(Target):
    """Its value is the largest pixel."""

    fingerprint = "brightest"

    def forward(self, video):
        return video.flatten(1).amax(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    return Context(dataset=None, target=Linear(), generator=tiny_wan.generator(tmp_path_factory.mktemp("wan")))


def _originals(queries: list[Query]) -> torch.Tensor:
    return torch.stack([query.sample.video for query in queries])


def _videos(explanations) -> torch.Tensor:
    return torch.stack([explanation.video for explanation in explanations])


def _losses(context: Context, queries: list[Query], videos: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([q.goal.loss(context.target(v[None])) for q, v in zip(queries, videos, strict=True)])


def _predictions(context: Context, videos: torch.Tensor) -> list[int]:
    with torch.no_grad():
        return context.target(videos.clamp(0, 1)).argmax(1).tolist()


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_guidance_lowers_the_loss(context, method, params):
    queries = make_queries()
    after = []
    for scale in (0.0, 1.0):
        after.append(_losses(context, queries, _videos(method(params(steps=3, scales=(scale,))).run(queries, context))))
    assert (after[1] < after[0] - 0.01).all()


@pytest.mark.parametrize("through", ["full", "decoder"])
def test_scale_zero_is_plain_denoising_from_noise(context, through):
    queries = make_queries()
    generator = context.generator
    condition = generator.condition(_originals(queries)[:, 0], SHAPE)
    with torch.no_grad():
        expected = generator.decode(denoise(generator, draw(queries, LATENT), condition, 3))
    results = CGVideo(CGParams(steps=3, scales=(0.0,), through=through)).run(queries, context)
    assert torch.equal(_videos(results), expected)


def test_scale_zero_from_the_half_noisy_original(context):
    queries = make_queries()
    generator = context.generator
    condition = generator.condition(_originals(queries)[:, 0], SHAPE)
    with torch.no_grad():
        z = 0.7 * generator.encode(_originals(queries)) + 0.3 * draw(queries, LATENT)
        for sigma, next_sigma in pairwise(generator.sigmas(4, 0.3)):
            z = euler_step(generator, z, sigma, next_sigma, condition)
        expected = generator.decode(z)
    results = CGVideoMid(CGMidParams(steps=4, scales=(0.0,), start=0.3)).run(queries, context)
    torch.testing.assert_close(_videos(results), expected, rtol=1e-6, atol=1e-6)


def test_one_matched_step_by_hand(context):
    queries = make_queries()
    generator = context.generator
    condition = generator.condition(_originals(queries)[:, 0], SHAPE)
    z = draw(queries, LATENT).requires_grad_()
    v = generator.velocity(z, 1.0, condition)
    labels = torch.tensor([query.goal.index for query in queries])
    loss = F.cross_entropy(context.target(generator.decode(z - v)), labels, reduction="sum")
    (g,) = torch.autograd.grad(loss, z)
    clean = torch.stack([z[i] - v[i] - 0.3 * v[i].norm() * g[i] / g[i].norm() for i in range(4)])
    with torch.no_grad():
        expected = generator.decode(clean)
    results = CGVideo(CGParams(steps=1, scales=(0.3,))).run(queries, context)
    torch.testing.assert_close(_videos(results), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("s", [0.1, 0.5, 0.9])
def test_the_raw_push_is_equation_9(s):
    z, v, gradient = torch.randn(3, 2, *LATENT, generator=torch.Generator().manual_seed(1)).double()
    epsilon = z + (1 - s) * v - 7.0 * s * -gradient  # sqrt(1 - ᾱ) = s, and log f falls where the loss rises
    expected = (epsilon - z) / (1 - s)
    push = CGParams(scaling="raw", scales=(7.0,)).push(7.0)
    torch.testing.assert_close(v + push(v, gradient, s), expected)


def test_the_raw_push_is_bounded_near_full_noise():
    gradient = torch.ones(1, 1)
    push = CGParams(scaling="raw").push(2.0)
    for s in (10 / 11, 0.95, 0.999, 1.0):
        assert push(gradient, gradient, s).item() == pytest.approx(20)


def test_one_raw_step_by_hand(context):
    queries = make_queries()
    generator = context.generator
    condition = generator.condition(_originals(queries)[:, 0], SHAPE)
    with torch.no_grad():
        z = 0.5 * generator.encode(_originals(queries)) + 0.5 * draw(queries, LATENT)
    z.requires_grad_()
    v = generator.velocity(z, 0.5, condition)
    labels = torch.tensor([query.goal.index for query in queries])
    held = generator.decode(z - 0.5 * v.detach())
    (g,) = torch.autograd.grad(F.cross_entropy(context.target(held), labels, reduction="sum"), z)
    with torch.no_grad():
        expected = generator.decode(z - 0.5 * (v + 50 * g))
    params = CGMidParams(steps=1, scales=(50.0,), scaling="raw", through="decoder")
    results = _videos(CGVideoMid(params).run(queries, context))
    torch.testing.assert_close(results, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(results, held.detach(), atol=1e-2)


def test_a_frame_is_guided_within_the_original_clip(context):
    queries = make_queries()
    generator, originals = context.generator, _originals(queries)
    image, n = (1, HEIGHT, WIDTH), 3
    noise = draw(queries, (FRAMES, 4, 1, 2, 2))[:, n]
    z = (0.5 * generator.encode(originals[:, n : n + 1]) + 0.5 * noise).requires_grad_()
    v = generator.velocity(z, 0.5, generator.condition(None, image))
    clip = originals.clone()
    clip[:, n] = generator.decode(z - 0.5 * v)[:, 0]
    labels = torch.tensor([query.goal.index for query in queries])
    (g,) = torch.autograd.grad(F.cross_entropy(context.target(clip), labels, reduction="sum"), z)
    clean = torch.stack([z[i] - 0.5 * (v[i] + 0.3 * v[i].norm() * g[i] / g[i].norm()) for i in range(4)])
    with torch.no_grad():
        expected = generator.decode(clean)[:, 0]
    results = CGFrame(CGMidParams(steps=1, scales=(0.3,))).run(queries, context)
    torch.testing.assert_close(_videos(results)[:, n], expected, rtol=1e-4, atol=1e-4)


def test_frames_are_denoised_without_a_first_frame(context):
    """From pure noise and without guidance, only the condition can carry information about the original."""
    for method, params, depends in ((CGFrame, CGMidParams, False), (CGVideoMid, CGMidParams, True)):
        unguided = method(params(steps=2, scales=(0.0,), start=1.0))
        one, other = (_videos(unguided.run(make_queries(videos=seed), context)) for seed in (1, 2))
        assert torch.equal(one, other) != depends


def test_every_frame_has_noise_of_its_own(context):
    video = torch.full((FRAMES, 3, HEIGHT, WIDTH), 0.5)
    queries = [Query(Sample("still", video, 0, 16.0), ClassGoal(0), seed=4)] * 4
    result = CGFrame(CGMidParams(steps=1, scales=(0.0,))).run(queries, context)[0].video
    for a in range(FRAMES):
        for b in range(a):
            assert not torch.allclose(result[a], result[b], atol=1e-2)


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_no_further_scale_is_tried_once_the_goal_is_met(context, method, params):
    unguided = method(params(steps=2, scales=(0.0,)))
    predicted = _predictions(context, _videos(unguided.run(make_queries(), context)))
    queries = make_queries(goals=[predicted[0], 1 - predicted[1], predicted[2], 1 - predicted[3]])
    first = unguided.run(queries, context)
    both, counts = passes(method(params(steps=2, scales=(0.0, 2.0))), queries, context)
    second = method(params(steps=2, scales=(2.0,))).run(queries, context)
    calls = 2 * (FRAMES if method is CGFrame else 1)
    for i, alone in enumerate((first, second, first, second)):
        attempts = 1 + i % 2
        assert torch.equal(both[i].video, alone[i].video)
        steps, parts = attempts * calls, attempts * calls // 2
        assert counts[i]["velocity"] == (steps, steps)
        assert counts[i]["decode"] == (steps + parts, steps)
        assert counts[i]["target"] == (steps + attempts, steps)
        assert both[i].trace["scale"] == [0.0, 0.0, 2.0, 2.0][: 2 * attempts]
        assert both[i].trace["goal_loss"][-2:] == alone[i].trace["goal_loss"]
    assert not torch.equal(first[1].video, second[1].video)


def test_the_trace_starts_at_the_loss_of_the_first_clean_estimate(context):
    queries = make_queries()
    generator = context.generator
    condition = generator.condition(_originals(queries)[:, 0], SHAPE)
    with torch.no_grad():
        jump = generator.decode(denoise(generator, draw(queries, LATENT), condition, 1))
    results = CGVideo(CGParams(steps=3, scales=(0.1,))).run(queries, context)
    for explanation, loss in zip(results, _losses(context, queries, jump).tolist(), strict=True):
        assert explanation.trace["goal_loss"][0] == pytest.approx(loss, rel=1e-4)
        assert len(explanation.trace["goal_loss"]) == 3


def test_goals_are_decided_on_the_stored_pixels():
    videos = torch.full((2, 1, 3, 2, 2), 100.4 / 255)
    videos[1] = 1.3
    assert reached([ValueGoal(100 / 255, 1e-6), ValueGoal(1.0, 1e-6)], _Brightest(), videos) == [True, True]
    assert reached([ValueGoal(100.4 / 255, 1e-6), ValueGoal(1.3, 0.1)], _Brightest(), videos) == [False, False]


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_results_do_not_depend_on_the_rest_of_the_batch(context, method, params):
    chosen = method(params(steps=2, scales=(0.1, 0.5)))
    results, counts = passes(chosen, make_queries(), context)
    others = make_queries(goals=(1, 1, 1, 0), seed=50, videos=3)
    mixed, mixed_counts = passes(chosen, [others[0], make_queries()[1], others[2], others[3]], context)
    assert torch.equal(results[1].video, mixed[1].video)
    assert results[1].trace == mixed[1].trace
    assert counts[1] == mixed_counts[1]
    assert not torch.equal(results[0].video, mixed[0].video)


def test_a_value_is_approached_from_either_side(context):
    context = Context(None, Linear(outputs=1), context.generator)
    anything = make_queries([ValueGoal(0.0, 1.0)] * 4)
    unguided = _videos(CGVideoMid(CGMidParams(steps=3, scales=(0.0,))).run(anything, context))
    with torch.no_grad():
        values = context.target(unguided)[:, 0]
    goals = [ValueGoal(float(v) + side, 0.01) for v, side in zip(values, (1, -1, 1, -1), strict=True)]
    guided = _videos(CGVideoMid(CGMidParams(steps=3, scales=(0.2,))).run(make_queries(goals), context))
    with torch.no_grad():
        change = context.target(guided)[:, 0] - values
    assert (change * torch.tensor([1, -1, 1, -1]) > 0.01).all()


@pytest.mark.parametrize("scales", [(), (0.2, 0.1), (0.1, 0.1), (-0.1, 0.1)])
def test_scales_must_increase(scales):
    with pytest.raises(ValidationError, match="scales"):
        CGParams(scales=scales)


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_presets_are_parameters(method, params):
    paper = params(**method.presets["paper"])
    assert (paper.scaling, paper.steps) == ("raw", 30)
    assert params(**method.presets["embedded"]) == params()


def test_needs_a_generator(context):
    assert CGFrame().supports(None, context.target, None, ClassGoal(0)) == "needs a generator"
