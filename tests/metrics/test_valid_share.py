import math

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from tests.metrics.conftest import noise
from tests.metrics.test_validity import Knowing
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.metrics.valid_share import ValidShare
from vcfe_datasets.shapes.shape_moving import ShapeMoving

GOAL = 3


class Credulous(ShapeMoving):
    """Shape-Moving with an oracle that always finds the goal, so that the other conditions decide."""

    def oracle(self, sample, video):
        return GOAL


@pytest.fixture
def judge():
    """Scores an edit, given as a function of the sample and its true edit."""

    def score(edit, dataset=None, flips=True):
        dataset = dataset or Credulous()
        sample = dataset.sample("test", 0)
        true = dataset.true_edit(sample, ClassGoal(GOAL))
        after = torch.eye(4)[GOAL if flips else 0]
        return ValidShare().score(Case(dataset, sample, ClassGoal(GOAL), edit(sample, true), torch.eye(4)[0], after))

    return score


@pytest.mark.parametrize("dataset", [ShapeMoving(), Credulous()])
def test_the_true_edit_is_valid_if_it_flips_the_target(judge, dataset):
    assert judge(lambda sample, true: true, dataset) == 1
    assert judge(lambda sample, true: true, dataset, flips=False) == 0


def test_faint_noise_on_a_true_edit_is_tolerated(judge):
    assert judge(lambda sample, true: (true + 0.01 * (noise(0, *true.shape) - 0.5)).clamp(0, 1)) == 1


def test_an_edit_whose_content_misses_the_goal_is_not_valid(judge):
    assert judge(lambda sample, true: sample.video, ShapeMoving()) == 0
    assert judge(lambda sample, true: sample.video, Credulous()) == 1


@pytest.mark.parametrize("fault", ShapeMoving.corruptions)
def test_a_broken_or_jumping_object_is_not_valid(judge, fault):
    assert judge(lambda sample, true: Credulous().corrupted_edit(sample, ClassGoal(GOAL), fault)) == 0


def test_an_edit_far_from_the_original_is_not_valid(judge):
    def spoiled(sample, true):
        video = (true + 0.1 * (noise(1, *true.shape) - 0.5)).clamp(0, 1)
        video[0] = true[0]
        return video

    assert judge(spoiled) == 0


def test_a_blurred_edit_is_not_valid(judge):
    def blurred(sample, true):
        video = gaussian_blur(true, [11, 11], [1.5, 1.5])
        video[0] = true[0]
        return video

    assert judge(blurred) == 0


def test_another_first_frame_is_not_valid(judge):
    def brighter(sample, true):
        video = true.clone()
        video[0] = (video[0] + 0.03).clamp(0, 1)
        return video

    assert judge(brighter) == 0


def test_outputs_and_videos_that_are_not_finite_give_nan(judge):
    assert math.isnan(judge(lambda sample, true: true * math.nan))


def test_it_needs_an_oracle_and_true_edits(silent):
    assert ValidShare().unavailable(silent) == "the dataset has no true edits to compare with"
    assert ValidShare().unavailable(Knowing(0)) == "the dataset has no true edits to compare with"
    assert ValidShare().unavailable(ShapeMoving()) is None

    class Mute(ShapeMoving):
        oracle = None

    assert ValidShare().unavailable(Mute()) == "the dataset has no oracle"
