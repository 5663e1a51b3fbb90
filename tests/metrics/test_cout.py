import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.conftest import noise
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Case, Sample, Target
from vcfe_bench.metrics.cout import COUT, CoutParams, mixtures

FRAMES, SIDE = 4, 8
BLACK = torch.zeros(FRAMES, 3, SIDE, SIDE)


class White(Target):
    """A target for which the probability of class 1 is the share of white voxels."""

    classes = ("black", "white")

    def forward(self, video):
        share = video.mean(dim=(1, 2, 3, 4)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([1 - share, share], dim=1).log()

    @property
    def fingerprint(self):
        return "white"


def judge(counterfactual, original=BLACK, steps=10, goal=ClassGoal(1)):  # noqa: B008
    before, after = White()(torch.stack([original, counterfactual]))
    case = Case(None, Sample("s", original, 0, 16.0), goal, counterfactual, before, after, target=White())
    return COUT(CoutParams(steps)), case


def test_a_target_linear_in_the_share_has_straight_curves_and_no_area():
    metric, case = judge(BLACK + 1, steps=16)
    curves = metric.curves(case)
    np.testing.assert_allclose(curves["COUT goal"], np.linspace(0, 1, 17), atol=2e-6)
    np.testing.assert_allclose(curves["COUT original"], np.linspace(1, 0, 17), atol=2e-6)
    assert metric.score(case) == pytest.approx(0, abs=1e-6)


def test_the_area_for_a_change_of_a_region_is_that_of_a_bent_line():
    """The changed quarter is replaced after a quarter of the steps: p rises to 1/4 and stays there."""
    quarter = BLACK.clone()
    quarter[0] = 1
    metric, case = judge(quarter, steps=8)
    goal = metric.curves(case)["COUT goal"]
    np.testing.assert_allclose(goal, [0, 1 / 8, *[1 / 4] * 7], atol=2e-6)
    area = 0.25 * 0.125 + 0.75 * 0.25
    assert metric.score(case) == pytest.approx(2 * area - 1, abs=1e-5)


videos = st.integers(0, 10_000).map(lambda seed: noise(seed, 2, 2, 3, 5, 6))


@given(videos, st.integers(2, 12))
@settings(deadline=None)
def test_the_largest_changes_come_first(both, steps):
    """Compared with an independent ranking: mixture k takes exactly the most changed voxels."""
    original, other = both
    found = [video for batch in mixtures(original, other, steps) for video in batch]
    size = (other - original).abs().sum(dim=1)
    assert len(found) == steps - 1
    for k, video in enumerate(found, 1):
        taken = (video == other).all(dim=1)
        assert taken.sum() == math.ceil(k * size.numel() / steps)
        assert torch.equal(video, torch.where(taken[:, None], other, original))
        assert size[taken].min() >= size[~taken].max()


def test_an_unchanged_video_keeps_the_prediction():
    metric, case = judge(BLACK)
    assert metric.score(case) == pytest.approx(-1, abs=1e-5)


def test_it_lies_between_minus_one_and_one_and_depends_on_both_ends():
    metric, case = judge(noise(3, *BLACK.shape), noise(4, *BLACK.shape) * 0.4)
    assert -1 <= metric.score(case) <= 1
    curves = metric.curves(case)
    assert curves["COUT goal"][0] == pytest.approx(float(case.before.exp()[1]), abs=1e-5)
    assert curves["COUT goal"][-1] == pytest.approx(float(case.after.exp()[1]), abs=1e-5)


def test_curves_are_computed_once():
    metric, case = judge(noise(5, *BLACK.shape))
    value = metric.score(case)
    alone = replace(case, target=None)
    with pytest.raises(ValueError, match="needs the target"):
        metric.score(alone)
    assert COUT(CoutParams(10)).curves(case) is metric.curves(case)
    assert metric.score(case) == value


def test_without_two_different_classes_there_is_no_curve():
    for goal in (ValueGoal(1.0, 0.1), ClassGoal(0)):
        metric, case = judge(BLACK + 1, goal=goal)
        assert math.isnan(metric.score(case))
        assert not metric.curves(case)
    metric, case = judge(BLACK * math.nan)
    assert math.isnan(metric.score(case))
