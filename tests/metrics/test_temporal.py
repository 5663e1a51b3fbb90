import math
from dataclasses import replace

import pytest
import torch

from tests.metrics.conftest import noise
from tests.metrics.targets import Bright, Trend
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.metrics.temporal import FirstFrameL1, ShuffledConfidence, ShuffledFlipLoss, shuffled

YES = torch.tensor([-5.0, 5.0])
BRIGHTER = torch.linspace(0.2, 1, 9).view(9, 1, 1, 1).expand(9, 3, 4, 4)


@pytest.fixture
def asked(case):
    """Builds a case of a video that is flipped to class 1, with its target."""

    def build(target, video=BRIGHTER, after=YES, goal=ClassGoal(1)):  # noqa: B008
        return replace(case(torch.zeros_like(video), video, goal, YES.flip(0), after), target=target)

    return build


def test_a_flip_by_motion_is_lost_and_a_flip_by_appearance_stays(asked):
    assert ShuffledFlipLoss().score(asked(Trend())) == 1
    assert ShuffledFlipLoss().score(asked(Bright())) == 0
    assert ShuffledConfidence().score(asked(Trend())) == pytest.approx(torch.tensor([-10.0, 10.0]).softmax(0)[0].item())


def test_if_the_order_is_irrelevant_confidence_is_unchanged(asked):
    target = Bright()
    expected = target(BRIGHTER[None])[0].softmax(0)[1].item()
    assert ShuffledConfidence().score(asked(target)) == pytest.approx(expected, rel=0.01)


def test_the_order_belongs_to_the_sample_and_keeps_all_frames(case):
    video = torch.arange(16.0).view(16, 1, 1, 1).expand(16, 3, 4, 4) / 255
    order = (255 * shuffled(case(video, video))[:, 0, 0, 0]).round().int().tolist()
    assert sorted(order) == list(range(16))
    assert order != list(range(16))
    assert torch.equal(shuffled(case(video, 1 - video)), 1 - shuffled(case(video, video)))
    other = replace(case(video, video), sample=replace(case().sample, id="another"))
    assert not torch.equal(shuffled(other), shuffled(case(video, video)))


def test_only_flips_can_be_lost(asked):
    assert math.isnan(ShuffledFlipLoss().score(asked(Trend(), after=YES.flip(0))))
    assert math.isnan(ShuffledFlipLoss().score(asked(Trend(), after=YES * math.nan)))


def test_goals_about_values_have_no_confidence(asked):
    assert math.isnan(ShuffledConfidence().score(asked(Bright(), goal=ValueGoal(1.0, 1.0))))


def test_a_missing_target_is_an_error(asked):
    with pytest.raises(ValueError, match="needs the target"):
        ShuffledConfidence().score(asked(None))


def test_one_frame_has_no_order(silent_of):
    assert "no order" in ShuffledFlipLoss().unavailable(silent_of((1, 8, 8)))
    assert ShuffledFlipLoss().unavailable(silent_of((2, 8, 8))) is None


def test_only_the_first_frame_counts(case):
    original, edited = noise(0, 5, 3, 6, 6), noise(1, 5, 3, 6, 6)
    assert FirstFrameL1().score(case(original, edited)) == pytest.approx(
        float((original[0] - edited[0]).abs().mean()), rel=1e-5
    )
    edited[0] = original[0]
    assert FirstFrameL1().score(case(original, edited)) == 0
    edited[4, 0, 0, 0] = math.nan
    assert math.isnan(FirstFrameL1().score(case(original, edited)))
