import math
from collections.abc import Mapping

import pytest
import torch

from tests.metrics.conftest import Silent
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.metrics.attributes import (
    AttributesChanged,
    IdentityKept,
    SideEffects,
    same,
)
from vcfe_datasets.shapes.shape_moving import ShapeMoving

YES = torch.tensor([0.0, 9.0])
BLACK = torch.zeros(3, 3, 32, 32)
BEFORE = {"way": "up", "colour": "red", "size": 4.0, "round": True}


class Seen(Silent):
    """Measures attributes by looking up the brightness of the video in a table."""

    cause, identity = ("way",), ("colour", "round")

    def __init__(self, *found: Mapping | None) -> None:
        super().__init__()
        self.found = found

    def attributes_of(self, sample, video):
        return self.found[round(float(video.max()))]


@pytest.fixture
def edited(case):
    """Builds a case from the attributes before and after."""

    def build(after, before=BEFORE, output=YES) -> Case:
        return case(BLACK, BLACK + 1, ClassGoal(1), YES.flip(0), output, Seen(before, after))

    return build


@pytest.mark.parametrize(
    ("changes", "count", "side", "kept"),
    [
        ({}, 0, 0, 1),
        ({"way": "down"}, 1, 0, 1),
        ({"way": "down", "colour": "blue"}, 2, 1, 0.5),
        ({"size": 4.9}, 0, 0, 1),
        ({"size": 5.0}, 1, 1, 1),
        ({"round": False, "colour": "blue", "size": -3.0}, 3, 3, 0),
        ({"colour": None}, 1, 1, 0.5),
    ],
)
def test_changes_are_counted_by_attribute(edited, changes, count, side, kept):
    case = edited({**BEFORE, **changes})
    assert AttributesChanged().score(case) == count
    assert SideEffects().score(case) == side
    assert IdentityKept().score(case) == kept


def test_a_lost_object_has_lost_all_attributes(edited):
    assert AttributesChanged().score(edited(None)) == 4
    assert SideEffects().score(edited(None)) == 3
    assert IdentityKept().score(edited(None)) == 0


def test_attributes_unmeasurable_in_the_original_are_left_out(edited):
    unsure = {**BEFORE, "size": None, "way": None}
    assert AttributesChanged().score(edited(BEFORE, unsure)) == 0
    for metric in (AttributesChanged(), SideEffects(), IdentityKept()):
        assert math.isnan(metric.score(edited(BEFORE, None)))


def test_only_the_published_measure_is_taken_over_flips(edited):
    case = edited({**BEFORE, "colour": "blue"}, output=YES.flip(0))
    assert math.isnan(AttributesChanged().score(case))
    assert SideEffects().score(case) == 1


def test_numbers_change_by_one_or_more_and_categories_by_any_difference():
    assert same(3.0, 3.99)
    assert not same(3.0, 4.0)
    assert same(True, True)
    assert not same(True, False)
    assert not same("a", None)
    assert not same(None, None)


def test_datasets_without_attributes_are_reported(silent):
    for metric in (AttributesChanged(), SideEffects(), IdentityKept()):
        assert metric.unavailable(silent) == "the dataset measures no attributes"
        assert metric.unavailable(Seen()) is None
    nameless = Seen()
    nameless.identity = nameless.cause = ()
    assert "has to stay" in IdentityKept().unavailable(nameless)


def test_a_true_edit_changes_only_the_direction_and_corruptions_change_more():
    dataset = ShapeMoving()
    sample, goal = dataset.sample("validation", 0), ClassGoal(3)

    def score(metric, video):
        return metric.score(Case(dataset, sample, goal, video, torch.eye(4)[0], torch.eye(4)[3]))

    true, recoloured = dataset.true_edit(sample, goal), dataset.corrupted_edit(sample, goal, "recoloured")
    assert [score(metric, true) for metric in (AttributesChanged(), SideEffects(), IdentityKept())] == [1, 0, 1]
    assert [score(metric, sample.video) for metric in (AttributesChanged(), SideEffects(), IdentityKept())] == [0, 0, 1]
    assert score(SideEffects(), recoloured) >= 1
    assert score(IdentityKept(), recoloured) == pytest.approx(2 / 3)
