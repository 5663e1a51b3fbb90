from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.methods.small import passes
from tests.models import tiny_wan
from tests.models.tiny_wan import SHAPE
from vcfe_bench.diffusion import denoise
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Context, Query, Sample, Target
from vcfe_methods.bttf import BTTF, BTTFParams, gram, style_loss


class _Linear(Target):
    classes = ("a", "b")
    fingerprint = "linear"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(SHAPE[0] * 3 * SHAPE[1] * SHAPE[2], 2)
        self.requires_grad_(False)

    def forward(self, video):
        return self.layer(video.flatten(1))


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    return Context(dataset=None, target=_Linear(), generator=tiny_wan.generator(tmp_path_factory.mktemp("wan")))


def _queries(goals=(0, 1, 0, 1), seed: int = 0) -> list[Query]:
    videos = torch.rand(4, SHAPE[0], 3, *SHAPE[1:], generator=torch.Generator().manual_seed(9))
    return [
        Query(Sample(str(i), video, 0, 16.0), ClassGoal(goal), seed=seed + i)
        for i, (video, goal) in enumerate(zip(videos, goals, strict=True))
    ]


class _SecondNoise(Query):
    """A query whose first noise is the second noise of an ordinary query with the same seed."""

    def generator(self, component: str = "") -> torch.Generator:
        random = super().generator(component)
        torch.randn(4, 3, 4, 4, generator=random)
        return random


SHORT = {"steps": 3, "iterations": 6, "inversion_iterations": 4}


def test_schedules():
    assert BTTFParams(steps=3, iterations=7).schedule() == [(1, 2), (2, 2), (3, 3)]
    assert BTTFParams(steps=3, iterations=2, kc_mode="per_n").schedule() == [(1, 2), (2, 2), (3, 2)]
    assert BTTFParams(steps=3, iterations=4, progressive=False).schedule() == [(3, 4)]
    paper = BTTFParams(**BTTF.presets["paper"]).schedule()
    assert [n for n, _ in paper] == list(range(1, 16))
    assert sum(share for _, share in paper) == 100
    literal = BTTFParams(**{**BTTF.presets["paper"], "kc_mode": "per_n"}).schedule()
    assert sum(n * share for n, share in literal) == 12_000


def test_gram_matrix_by_hand():
    video = torch.rand(2, 5, 3, 4, 6)
    expected = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            expected[i, j] = (video[1, 2, i] * video[1, 2, j]).sum() / (3 * 4 * 6)
    torch.testing.assert_close(gram(video)[1, 2], expected)


def test_style_loss_depends_on_brightness_but_not_on_position():
    video = torch.rand(1, 5, 3, 8, 8) * 0.5
    assert style_loss(video.roll(3, dims=4), gram(video)).item() == pytest.approx(0, abs=1e-10)
    shifted = style_loss(torch.full((1, 1, 3, 8, 8), 0.5 + 1 / 255), gram(torch.full((1, 1, 3, 8, 8), 0.5)))
    assert shifted.item() == pytest.approx(((0.5 + 1 / 255) ** 2 - 0.25) ** 2 / 9, rel=1e-4)


@pytest.mark.slow
def test_goal_loss_decreases_and_the_trace_is_complete(context):
    params = BTTFParams(**{**SHORT, "iterations": 30, "rate": 0.2, "enough": 0, "patience": 0})
    explanations, counts = passes(BTTF(params), _queries(), context)
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
    with_it, without = (BTTF(BTTFParams(**short, inversion=on)).run(_queries(), context) for on in (True, False))
    assert all(len(e.trace["loss"]) == 1 for e in without)
    for explanation in with_it:
        curve = explanation.trace["loss"][:60]
        assert curve[-1] < 0.9 * curve[0]


def test_the_first_iteration_is_one_adamw_step_on_equation_2(context):
    queries = _queries()
    p = BTTFParams(steps=1, iterations=1, inversion=False, rate=0.1, shell=False, style_weight=7.0)
    generator, target = context.generator, context.target
    original = torch.stack([q.sample.video for q in queries])
    condition = generator.condition(original[:, 0], SHAPE)
    noise = torch.stack([torch.randn(4, 3, 4, 4, generator=q.generator("noise")) for q in queries]).requires_grad_()
    video = generator.decode(denoise(generator, noise, condition, 1))
    labels = torch.tensor([q.goal.index for q in queries])
    loss = nn.functional.cross_entropy(target(video), labels, reduction="sum")
    (loss + 7.0 * style_loss(video, gram(original)).sum()).backward()
    torch.optim.AdamW([noise], lr=0.1, weight_decay=0.0).step()
    with torch.no_grad():
        expected = generator.decode(denoise(generator, noise, condition, 1))
    results = torch.stack([e.video for e in BTTF(p).run(queries, context)])
    torch.testing.assert_close(results, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_shell_keeps_the_norm_of_the_noise(context):
    for shell in (True, False):
        params = BTTFParams(**{**SHORT, "iterations": 20, "rate": 0.3, "shell": shell, "enough": 0, "patience": 0})
        for explanation in BTTF(params).run(_queries(), context):
            start, end = explanation.trace["noise_norm"][0], explanation.trace["noise_norm"][-1]
            assert (abs(end - start) < 0.02 * start) == shell


def test_noise_is_not_updated_while_the_goal_loss_is_below_the_threshold(context):
    queries, short = _queries(), {"steps": 2, "iterations": 1, "inversion": False}
    first = [e.trace["goal_loss"][0] for e in BTTF(BTTFParams(**short, enough=0)).run(queries, context)]
    threshold = sum(sorted(first)[1:3]) / 2
    original = torch.stack([q.sample.video for q in queries])
    condition = context.generator.condition(original[:, 0], SHAPE)
    noise = torch.stack([torch.randn(4, 3, 4, 4, generator=q.generator("noise")) for q in queries])
    with torch.no_grad():
        untouched = context.generator.decode(denoise(context.generator, noise, condition, 2))
    results = BTTF(BTTFParams(**short, enough=threshold)).run(queries, context)
    stays = [torch.equal(e.video, video) for e, video in zip(results, untouched, strict=True)]
    assert stays == [loss < threshold for loss in first]
    assert sorted(stays) == [False, False, True, True]


def test_a_met_goal_saves_iterations_for_the_last_number_of_steps(context):
    short = {"steps": 2, "iterations": 6, "inversion": False, "rate": 0.01}
    first = sorted(e.trace["goal_loss"][0] for e in BTTF(BTTFParams(**short, enough=0)).run(_queries(), context))
    results, counts = passes(BTTF(BTTFParams(**short, enough=sum(first[1:3]) / 2)), _queries(), context)
    levels = sorted(e.trace["n"] for e in results)
    assert levels[0] == [1, 1, 1, 2, 2, 2]
    assert levels[-1] in ([1, 2], [1, 2, 2, 2, 2, 2, 2])
    for explanation, count in zip(results, counts, strict=True):
        steps, iterations = sum(explanation.trace["n"]), len(explanation.trace["n"])
        assert count["velocity"] == (2 * steps + 2, steps)
        assert count["target"] == (iterations, iterations)


def test_a_stalled_search_restarts_from_new_noise_without_moments(context):
    short = {"steps": 1, "inversion": False, "enough": 0, "rate": 0.3}
    results = BTTF(BTTFParams(**short, iterations=5, patience=2)).run(_queries(), context)
    one_start = BTTF(BTTFParams(**short, iterations=5, patience=0)).run(_queries(), context)
    from_second = BTTF(BTTFParams(**short, iterations=2, patience=0)).run(
        [_SecondNoise(query.sample, query.goal, query.seed) for query in _queries()], context
    )
    for explanation, other, second in zip(results, one_start, from_second, strict=True):
        assert explanation.trace["loss"][:2] == other.trace["loss"][:2]
        assert explanation.trace["loss"][2] != other.trace["loss"][2]
        assert explanation.trace["loss"][2:4] == pytest.approx(second.trace["loss"], rel=1e-4)


def test_new_noise_is_inverted_like_the_first(context):
    short = {"steps": 1, "enough": 0, "rate": 0.3, "inversion_iterations": 3}
    results = BTTF(BTTFParams(**short, iterations=3, patience=2)).run(_queries(), context)
    from_second = BTTF(BTTFParams(**short, iterations=1, patience=0)).run(
        [_SecondNoise(query.sample, query.goal, query.seed) for query in _queries()], context
    )
    for explanation, second in zip(results, from_second, strict=True):
        assert np.isnan(explanation.trace["goal_loss"]).tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False]
        assert explanation.trace["loss"][5:] == pytest.approx(second.trace["loss"], rel=1e-4)


def test_no_restart_after_the_last_iteration(context):
    short = {"steps": 1, "inversion": False, "enough": 0, "iterations": 2}
    videos = [
        torch.stack([e.video for e in BTTF(BTTFParams(**short, patience=patience)).run(_queries(), context)])
        for patience in (0, 2)
    ]
    assert torch.equal(*videos)


def test_the_preset_of_the_paper_never_restarts():
    assert BTTF.presets["paper"]["patience"] == 0


def test_results_do_not_depend_on_the_rest_of_the_batch(context):
    first = [e.trace["goal_loss"][4] for e in BTTF(BTTFParams(**SHORT, enough=0)).run(_queries(), context)]
    method = BTTF(BTTFParams(**SHORT, enough=sum(sorted(first)[1:3]) / 2, patience=2))
    results = method.run(_queries(), context)
    assert len({len(e.trace["n"]) for e in results}) > 1
    others = _queries(goals=(1, 1, 1, 0), seed=50)
    mixed = method.run([others[0], _queries()[1], others[2], others[3]], context)
    assert torch.equal(results[1].video, mixed[1].video)
    assert not torch.equal(results[0].video, mixed[0].video)


def test_needs_a_generator(context):
    assert BTTF().supports(None, context.target, None, ClassGoal(0)) == "needs a generator"
