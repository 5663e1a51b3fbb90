import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.conftest import Silent
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Footage, Sample
from vcfe_bench.metrics.attributes import (
    AttributesChanged,
    CorrelationDifference,
    IdentityKept,
    SideEffects,
    correlation_difference,
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


def binary(name: str, values) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(list(values), dtype=object)})


def test_the_correlation_difference_of_two_binary_attributes_is_that_of_numpy():
    """True and False are two columns each, of opposite sign: two other columns, with equal differences."""
    rng = np.random.default_rng(0)
    q, a, new_q, new_a = (rng.random((4, 200)) < 0.5).tolist()
    before = binary("q", q).join(binary("a", a))
    after = binary("q", new_q).join(binary("a", new_a))
    delta = np.corrcoef(np.subtract(new_q, q, dtype=float), np.subtract(new_a, a, dtype=float))[0, 1]
    data = np.corrcoef(q, a)[0, 1]
    assert correlation_difference(before, after, {"q"}) == pytest.approx(2 * abs(delta - data))


def test_numbers_count_as_rising_falling_or_equal():
    before = pd.DataFrame({"q": [True, False, True, False], "n": [0.0, 10.0, 0.0, 10.0]}, dtype=object)
    after = pd.DataFrame({"q": [False, True, False, True], "n": [7.0, 2.0, 0.5, 9.5]}, dtype=object)
    delta = np.corrcoef([-1, 1, -1, 1], [1, -1, 0, 0])[0, 1]
    assert correlation_difference(before, after, {"q"}) == pytest.approx(abs(delta - (-1)))


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_edits_that_follow_the_data_score_lower_than_edits_that_do_not(seed):
    rng = np.random.default_rng(seed)
    q = rng.random(300) < 0.5
    before = pd.DataFrame({"q": q, "with": q, "alone": rng.random(300) < 0.5}, dtype=object)
    follows = before.assign(**{"q": ~q, "with": ~q})
    ignores = before.assign(q=~q)
    assert correlation_difference(before, follows, {"q"}) < correlation_difference(before, ignores, {"q"})


def test_nothing_to_correlate_gives_nan():
    alone = binary("q", [True, False])
    assert math.isnan(correlation_difference(alone, alone, {"q"}))
    assert math.isnan(correlation_difference(alone, alone, set()))


def test_features_contain_what_the_distance_needs():
    metric, pairs = CorrelationDifference(), []
    for way, colour in (("up", "red"), ("down", "red"), ("up", "blue"), ("down", "blue")):
        other = {"up": "down", "down": "up"}[way]
        dataset = Seen({**BEFORE, "way": way, "colour": colour}, {**BEFORE, "way": other, "colour": colour})
        pairs.append([metric.features_of(Footage(dataset, Sample("s", v, 0, 16.0), v)) for v in (BLACK, BLACK + 1)])
    before, after = zip(*pairs, strict=True)
    names = list("abcd")
    assert metric.distance(before, after, names) == pytest.approx(0, abs=1e-9)
    side_effect = [*after[:3], after[0]]
    assert metric.distance(before, side_effect, names) > 0.1
    lost = [np.empty((3, 0), dtype=str)] * 4
    assert math.isfinite(metric.distance(before, [*after[:2], *lost[:2]], names))


def test_datasets_without_attributes_are_reported(silent):
    for metric in (AttributesChanged(), SideEffects(), IdentityKept(), CorrelationDifference()):
        assert metric.unavailable(silent) == "the dataset measures no attributes"
        assert metric.unavailable(Seen()) is None
    nameless = Seen()
    nameless.identity = nameless.cause = ()
    assert "has to stay" in IdentityKept().unavailable(nameless)
    assert "determines the label" in CorrelationDifference().unavailable(nameless)


def test_a_true_edit_changes_only_the_direction_and_corruptions_change_more():
    dataset = ShapeMoving()
    sample, goal = dataset.sample("test", 0), ClassGoal(3)

    def score(metric, video):
        return metric.score(Case(dataset, sample, goal, video, torch.eye(4)[0], torch.eye(4)[3]))

    true, recoloured = dataset.true_edit(sample, goal), dataset.corrupted_edit(sample, goal, "recoloured")
    assert [score(metric, true) for metric in (AttributesChanged(), SideEffects(), IdentityKept())] == [1, 0, 1]
    assert [score(metric, sample.video) for metric in (AttributesChanged(), SideEffects(), IdentityKept())] == [0, 0, 1]
    assert score(SideEffects(), recoloured) >= 1
    assert score(IdentityKept(), recoloured) == pytest.approx(2 / 3)
