from __future__ import annotations

import math

import pytest
import torch

from tests.metrics.conftest import Silent
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.metrics.minimality import BystandersKept, MinimalFlipRate, MinimalMotionFlipRate
from vcfe_datasets.shapes.shape_crowd import CLASSES, OPPOSITE, ShapeCrowd

YES, NO = torch.tensor([0.0, 9.0]), torch.tensor([9.0, 0.0])
BLACK = torch.zeros(3, 3, 32, 32)
BEFORE = {"way": "up", "red_shape": "disc", "blue_way": "left", "third_way": "down", "x": 3.0}


class Crowd(Silent):
    """What is measured in a video stands in a table, by the brightness of the video; the oracle finds the goal."""

    bystanders, identity = ("blue_way", "third_way"), ("red_shape",)

    def __init__(self, after, label=1) -> None:
        super().__init__()
        self.after, self.label = after, label

    def attributes_of(self, sample, video):
        return self.after if video.max() > 0 else BEFORE

    def oracle(self, sample, video):
        return self.label


@pytest.fixture
def edited(case):
    def build(after, label=1, output=YES) -> Case:
        return case(BLACK, BLACK + 1, ClassGoal(1), NO, output, Crowd(after, label))

    return build


@pytest.mark.parametrize(
    ("changes", "bystanders", "motion", "minimal"),
    [
        ({}, 1, 1, 1),
        ({"way": "down", "x": 9.0}, 1, 1, 1),
        ({"red_shape": "square"}, 1, 1, 0),
        ({"red_shape": None}, 1, 1, 0),
        ({"blue_way": "up"}, 0, 0, 0),
        ({"third_way": None}, 0, 0, 0),
        ({"blue_way": "up", "red_shape": "square"}, 0, 0, 0),
    ],
)
def test_each_part_counts(edited, changes, bystanders, motion, minimal) -> None:
    case = edited({**BEFORE, **changes})
    assert BystandersKept().score(case) == bystanders
    assert MinimalMotionFlipRate().score(case) == motion
    assert MinimalFlipRate().score(case) == minimal


def test_a_minimal_flip_is_a_flip_with_its_meaning(edited) -> None:
    for metric in (MinimalFlipRate(), MinimalMotionFlipRate()):
        assert metric.score(edited(BEFORE, output=NO)) == 0
        assert metric.score(edited(BEFORE, label=0)) == 0
        assert metric.score(edited(BEFORE, label=None)) == 0


def test_nothing_is_kept_of_a_video_in_which_nothing_is_found(edited) -> None:
    assert BystandersKept().score(edited(None)) == 0
    assert MinimalFlipRate().score(edited(None)) == 0


def test_a_video_that_is_not_finite_has_no_value(case) -> None:
    broken = case(BLACK, BLACK * math.nan, ClassGoal(1), NO, YES, Crowd(BEFORE))
    for metric in (BystandersKept(), MinimalFlipRate(), MinimalMotionFlipRate()):
        assert math.isnan(metric.score(broken))


def test_a_dataset_without_bystanders_says_so() -> None:
    assert MinimalFlipRate().unavailable(Silent()) == "the dataset has no bystanders"
    assert MinimalFlipRate().unavailable(ShapeCrowd()) is None


def test_on_shape_crowd_the_true_edit_is_minimal_and_a_turned_bystander_is_not() -> None:
    dataset = ShapeCrowd()
    for index in range(2):
        sample = dataset.sample("validation", index)
        goal = ClassGoal(OPPOSITE[int(sample.label)])
        says = torch.nn.functional.one_hot(torch.tensor(goal.index), len(CLASSES)).float()
        scores = {}
        for name, video in {
            "true": dataset.true_edit(sample, goal),
            "turned": dataset.corrupted_edit(sample, goal, "turns_bystander"),
            "original": sample.video,
        }.items():
            case = Case(dataset, sample, goal, video, says.roll(1), says)
            scores[name] = BystandersKept().score(case), MinimalFlipRate().score(case)
        assert scores == {"true": (1, 1), "turned": (0, 0), "original": (1, 0)}
