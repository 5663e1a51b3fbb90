from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from tests.methods.small import SHAPE, Linear, make_queries, passes
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.goals import AvoidGoal, ClassGoal
from vcfe_bench.interfaces import Calls, Context, Query
from vcfe_bench.plugins.counted import counted
from vcfe_bench.plugins.registry import METHODS
from vcfe_methods.bttf import BTTF, BTTFParams
from vcfe_methods.noise_search import gram, style_loss

SHORT = {"steps": 3, "iterations": 2, "inversion_iterations": 4, "rate": 0.1, "style_weight": 10.0}


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(dataset=None, target=Linear(), generator=ToyGenerator())


def _algorithm_1(query: Query, context: Context, p: BTTFParams) -> torch.Tensor:
    """Algorithms 1 and 2 line by line for one video, on one autograd graph through all denoising steps."""
    generator, x_i = context.generator, query.sample.video[None]
    condition = generator.condition(x_i[:, 0], SHAPE)
    z_i = generator.encode(x_i)
    z_T = torch.randn(z_i.shape[1:], generator=query.generator("noise"))[None].requires_grad_()
    optimiser = torch.optim.AdamW([z_T], p.rate, weight_decay=0)

    def loop(n: int) -> torch.Tensor:
        z = z_T
        for s, s_next in pairwise(generator.sigmas(n)):
            epsilon = z + (1 - s) * generator.velocity(z, s, condition)
            z = (1 - s_next) * (z - s * generator.velocity(z, s, condition)) + s_next * epsilon
        return z

    for _ in range(p.inversion_iterations):
        optimiser.zero_grad()
        (loop(1) - z_i).abs().mean().backward()
        optimiser.step()
    for n in range(1, p.steps + 1):
        for _ in range(p.iterations):
            optimiser.zero_grad()
            x_c = generator.decode(loop(n))
            frames = zip(x_c[0].flatten(2), x_i[0].flatten(2), strict=True)
            grams = [(c @ c.T - i @ i.T) / c.shape[1] for c, i in frames]
            style = sum((g**2).sum() for g in grams) / (len(grams) * 9)
            goal = F.cross_entropy(context.target(x_c), torch.tensor([query.goal.index]))
            (goal + p.style_weight * style).backward()
            optimiser.step()
    with torch.no_grad():
        return generator.decode(loop(p.steps))[0]


def test_the_result_is_that_of_algorithms_1_and_2(context):
    queries, p = make_queries(), BTTFParams(**SHORT)
    results = BTTF(p).run(queries, context)
    for query, explanation in zip(queries, results, strict=True):
        torch.testing.assert_close(explanation.video, _algorithm_1(query, context, p), rtol=1e-3, atol=1e-3)
        assert explanation.trace["n"] == [1] * 4 + [1] * 2 + [2] * 2 + [3] * 2
        assert {len(series) for series in explanation.trace.values()} == {10}
    untouched = _algorithm_1(queries[0], context, BTTFParams(**{**SHORT, "rate": 1e-9}))
    assert not torch.allclose(results[0].video, untouched, atol=1e-2)


def test_passes_are_those_of_the_algorithm(context):
    _, counts = passes(BTTF(BTTFParams(**SHORT)), make_queries(), context)
    steps = 4 * 1 + 2 * (1 + 2 + 3)
    assert counts == [
        {
            "condition": (1, 0),
            "encode": (1, 0),
            "velocity": (2 * steps + 3, steps),
            "decode": (6 + 1, 6),
            "target": (6, 6),
        }
    ] * len(counts)


def test_an_original_is_only_encoded_for_inversion(context):
    _, counts = passes(BTTF(BTTFParams(**SHORT, inversion=False)), make_queries(), context)
    assert all("encode" not in count for count in counts)


@pytest.mark.parametrize("iterations", [0, 3, 4, 7])
def test_a_budget_ends_the_optimisation_and_leaves_enough_for_the_result(context, iterations):
    p = BTTFParams(**SHORT)
    inverting, generating = 4, 4 + 2 * 3  # an iteration at n = 1, with every forward pass at price 1
    costs = [inverting] * 4 + [generating] * 2 + [generating + 4] * 2 + [generating + 8] * 2
    enough = 2 + 3 + 1 + sum(costs[:iterations])
    for budget, made in ((enough, iterations), (enough + costs[iterations] - 1, iterations)):
        calls = Calls(4, budget=budget)
        results = BTTF(p).run(make_queries(), counted(context, calls))
        assert [len(e.trace.get("n", ())) for e in results] == [made] * 4
        assert [calls.spent(row) for row in range(4)] == [enough] * 4
    full = BTTF(p).run(make_queries(), context)
    for short, long in zip(results, full, strict=True):
        assert [*short.trace.get("loss", ())] == pytest.approx(long.trace["loss"][:iterations])


def test_an_avoid_goal_moves_the_noise(context):
    sure = Linear()
    with torch.no_grad():
        sure.layer.bias[:] = torch.tensor([30.0, 0.0])
    queries = make_queries([AvoidGoal(0)] * 4)
    p = BTTFParams(steps=2, iterations=4, inversion=False, rate=0.5, style=False)
    for explanation in BTTF(p).run(queries, Context(None, sure, context.generator)):
        losses = explanation.trace["goal_loss"]
        assert losses[0] > 25
        assert losses[-1] < losses[0] - 0.1


def test_the_style_term_keeps_colours_and_inversion_keeps_the_original(context):
    queries = make_queries(goals=(1, 0, 1, 0))
    base = {**SHORT, "iterations": 8, "rate": 0.2, "inversion_iterations": 40, "steps": 2}

    def videos(**changes) -> torch.Tensor:
        return torch.stack([e.video for e in BTTF(BTTFParams(**{**base, **changes})).run(queries, context)])

    original = torch.stack([query.sample.video for query in queries])
    styles = [style_loss(videos(style=style), gram(original)).mean() for style in (True, False)]
    assert styles[0] < styles[1]
    near, far = ((videos(inversion=inversion, style=False) - original).abs().mean() for inversion in (True, False))
    assert near < far


def test_results_do_not_depend_on_the_rest_of_the_batch(context):
    method = BTTF(BTTFParams(**SHORT))
    others = make_queries(goals=(1, 1, 1, 0), seed=50, videos=3)
    alone, mixed = (
        method.run(make_queries(), context)[1],
        method.run([others[0], make_queries()[1], *others[2:]], context)[1],
    )
    assert torch.equal(alone.video, mixed.video)
    assert alone.trace.keys() == mixed.trace.keys()


def test_schedules():
    assert BTTFParams(steps=3, iterations=2).schedule() == [(1, 2), (2, 2), (3, 2)]
    assert BTTFParams(steps=3, iterations=7, kc_mode="total").schedule() == [(1, 2), (2, 2), (3, 3)]
    assert BTTFParams(steps=3, iterations=2, progressive=False).schedule() == [(3, 6)]


def test_presets_are_those_of_table_s1():
    other = METHODS.build("bttf", "paper", target="video_swin").params
    m_swin = METHODS.build("bttf", "paper", target="m_swin").params
    assert (other.inversion_iterations, m_swin.inversion_iterations) == (40, 0)
    for p in (other, m_swin):
        assert (p.steps, p.iterations, p.style_weight, p.kc_mode) == (15, 100, 1e5, "per_n")
        assert sum(n * share for n, share in p.schedule()) == 12_000
    assert METHODS.build("bttf[inversion_iterations=3]", "paper", target="m_swin").params.inversion_iterations == 3


def test_the_method_as_published_has_no_restart_shell_or_threshold():
    for addition in ("shell", "patience", "enough"):
        with pytest.raises(ValidationError, match=addition):
            BTTFParams(**{addition: 1})


def test_gram_matrix_by_hand():
    video = torch.rand(2, 5, 3, 4, 6)
    expected = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            expected[i, j] = (video[1, 2, i] * video[1, 2, j]).sum() / (4 * 6)
    torch.testing.assert_close(gram(video)[1, 2], expected)


def test_style_loss_depends_on_brightness_but_not_on_position():
    video = torch.rand(1, 5, 3, 8, 8) * 0.5
    assert style_loss(video.roll(3, dims=4), gram(video)).item() == pytest.approx(0, abs=1e-10)
    shifted = style_loss(torch.full((1, 1, 3, 8, 8), 0.5 + 1 / 255), gram(torch.full((1, 1, 3, 8, 8), 0.5)))
    assert shifted.item() == pytest.approx(((0.5 + 1 / 255) ** 2 - 0.25) ** 2, rel=1e-4)


def test_needs_a_generator(context):
    assert BTTF().supports(None, context.target, None, ClassGoal(0)) == "needs a generator"
