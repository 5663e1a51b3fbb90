import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure
from torchvision.transforms.v2.functional import gaussian_blur

from tests.metrics.conftest import noise
from tests.metrics.test_validity import Knowing
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.metrics.real_floor import COUNT, nearest_first_frame, real_floor
from vcfe_bench.metrics.valid_share import ValidShare
from vcfe_datasets.shapes.shape_moving import ShapeMoving

GOAL = 3
MOVING = ShapeMoving()


class Credulous(ShapeMoving):
    """Shape-Moving with an oracle that always finds the goal, so that the other conditions decide."""

    def oracle(self, sample, video):
        return GOAL


class Unrecognisable(Credulous):
    """As ``Credulous``, with a measurement by which an edit is another object."""

    def attributes_of(self, sample, video):
        found = super().attributes_of(sample, video)
        return found if torch.equal(video, sample.video) else {**found, "shape": "blob"}


CREDULOUS, UNRECOGNISABLE = Credulous(), Unrecognisable()


@pytest.fixture
def judge():
    """Scores an edit, given as a function of the sample and its true edit."""

    def score(edit, dataset=None, flips=True):
        dataset = dataset or CREDULOUS
        sample = dataset.sample("validation", 0)
        true = dataset.true_edit(sample, ClassGoal(GOAL))
        after = torch.eye(4)[GOAL if flips else 0]
        return ValidShare().score(Case(dataset, sample, ClassGoal(GOAL), edit(sample, true), torch.eye(4)[0], after))

    return score


@pytest.mark.parametrize("dataset", [MOVING, CREDULOUS])
def test_the_true_edit_is_valid_if_it_flips_the_target(judge, dataset):
    assert judge(lambda sample, true: true, dataset) == 1
    assert judge(lambda sample, true: true, dataset, flips=False) == 0


def test_faint_noise_on_a_true_edit_is_tolerated(judge):
    assert judge(lambda sample, true: (true + 0.01 * (noise(0, *true.shape) - 0.5)).clamp(0, 1)) == 1


def test_an_edit_whose_content_misses_the_goal_is_not_valid(judge):
    assert judge(lambda sample, true: sample.video, MOVING) == 0
    assert judge(lambda sample, true: sample.video, CREDULOUS) == 1


def test_another_object_is_not_valid_though_it_moves_as_requested(judge):
    assert judge(lambda sample, true: true, UNRECOGNISABLE) == 0


@pytest.mark.parametrize("fault", ShapeMoving.corruptions)
def test_a_broken_or_jumping_object_is_not_valid(judge, fault):
    assert judge(lambda sample, true: CREDULOUS.corrupted_edit(sample, ClassGoal(GOAL), fault)) == 0


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


def test_half_the_resolution_is_not_sharp_enough_and_three_quarters_is(judge):
    def enlarged(side):
        def edit(sample, true):
            small = F.interpolate(true, (side, side), mode="bilinear", antialias=True)
            video = F.interpolate(small, (64, 64), mode="bilinear")
            video[0] = true[0]
            return video

        return edit

    assert judge(enlarged(32)) == 0
    assert judge(enlarged(56)) == 1


def test_the_floors_are_those_of_other_training_videos():
    floor = real_floor(MOVING)
    videos = [MOVING.sample("train", index) for index in range(COUNT)]
    assert floor.ids == tuple(video.id for video in videos)
    first = torch.stack([video.video[0] for video in videos])
    expected = structural_similarity_index_measure(
        first[: COUNT // 2], first[COUNT // 2 :], data_range=1.0, sigma=1.5, kernel_size=11
    )
    assert floor.ssim == pytest.approx(float(expected), abs=0.05)
    paths = [MOVING.track(video, video.video).path for video in videos]
    unsteady = [
        np.sqrt((np.diff(path, 2, axis=0) ** 2).sum(1).mean()) / np.linalg.norm(np.diff(path, axis=0), axis=1).mean()
        for path in paths
    ]
    assert floor.roughness == pytest.approx(np.nanmax(unsteady))


def test_a_training_video_is_no_floor_of_its_own():
    sample = MOVING.sample("train", 5)
    logits = torch.eye(4)[0]
    case = Case(MOVING, sample, ClassGoal(GOAL), sample.video, logits, logits)
    others = [MOVING.sample("train", index).video[0] for index in range(COUNT) if index != 5]
    expected = min(float((other - sample.video[0]).abs().mean()) for other in others)
    assert nearest_first_frame(case) == pytest.approx(expected) != 0


def test_outputs_and_videos_that_are_not_finite_give_nan(judge):
    assert math.isnan(judge(lambda sample, true: true * math.nan))


def test_it_needs_an_oracle_and_true_edits(silent):
    assert ValidShare().unavailable(silent) == "the dataset has no true edits to compare with"
    assert ValidShare().unavailable(Knowing(0)) == "the dataset has no true edits to compare with"
    assert ValidShare().unavailable(ShapeMoving()) is None

    class Mute(ShapeMoving):
        oracle = None

    assert ValidShare().unavailable(Mute()) == "the dataset has no oracle"
