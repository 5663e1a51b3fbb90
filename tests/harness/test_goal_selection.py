from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Values
from vcfe_bench.runs import goal_selection
from vcfe_bench.runs.goal_selection import PredictedVideo

CLASSES = ("up", "down", "left")
PERCENT = Values(low=20, high=75, change=15, tolerance=2.5, unit="percent")
outputs = st.lists(st.floats(20, 75), min_size=1, max_size=40)


def _videos(values: list[float]) -> list[PredictedVideo]:
    return [PredictedVideo(str(i), (value,)) for i, value in enumerate(values)]


@given(outputs, st.integers(0, 5))
def test_drawn_values_are_far_enough_in_range_and_as_often_up_as_down(values, seed):
    selection = goal_selection.read("one", (), PERCENT)
    goals = [goal for (goal,) in selection.goals(_videos(values), seed)]
    for value, goal in zip(values, goals, strict=True):
        assert goal.tolerance == 2.5
        assert 19.95 <= goal.value <= 75.05
        assert abs(goal.value - value) >= 15 - 0.05 - 1e-9
    free = all(35 <= value <= 60 for value in values)
    ups = sum(goal.value > value for value, goal in zip(values, goals, strict=True))
    assert not free or abs(2 * ups - len(values)) <= 1


def test_drawn_values_spread_over_all_that_is_allowed():
    goals = [goal.value for (goal,) in goal_selection.read("one", (), PERCENT).goals(_videos([47.5] * 400), 0)]
    below, above = [v for v in goals if v < 47.5], [v for v in goals if v > 47.5]
    assert len(below) == len(above) == 200
    for found, low, high in ((below, 20, 32.5), (above, 62.5, 75)):
        assert min(found) < low + 1
        assert max(found) > high - 1
        assert sum(found) / len(found) == pytest.approx((low + high) / 2, abs=0.8)


@given(outputs, st.integers(0, 5))
def test_a_goal_depends_on_its_video_and_way_alone(values, seed):
    selection = goal_selection.read("all", (), PERCENT)
    together = selection.goals(_videos(values), seed)
    assert together == [selection.goals([video], seed)[0] for video in _videos(values)]
    for value, goals in zip(values, together, strict=True):
        assert len(goals) == (value >= 35) + (value <= 60)


@given(outputs, st.integers(0, 5))
def test_uniform_values_are_in_range_and_not_met_already(values, seed):
    goals = goal_selection.read("uniform", (), PERCENT).goals(_videos(values), seed)
    for value, (goal,) in zip(values, goals, strict=True):
        assert 20 <= goal.value <= 75
        assert abs(goal.value - value) > PERCENT.tolerance


def test_uniform_values_are_uniform_whatever_is_predicted():
    """Kolmogorov-Smirnov distance of 2,000 draws for predictions outside the range, where nothing is drawn again."""
    goals = goal_selection.read("uniform", (), PERCENT).goals(_videos([0.0] * 1000 + [99.0] * 1000), 0)
    drawn = sorted(goal.value for (goal,) in goals)
    assert max(abs((v - 20) / 55 - (i + 0.5) / 2000) for i, v in enumerate(drawn)) < 1.63 / 2000**0.5


def test_one_value_for_all_that_do_not_have_it():
    selection = goal_selection.read("55", (), PERCENT)
    assert [selection.applies((value,)) for value in (40.0, 52.6, 57.4, 58.0)] == [True, False, False, True]
    assert selection.goals(_videos([40.0, 58.0]), 0) == [[ValueGoal(55, 2.5)]] * 2


def test_classes():
    videos = [PredictedVideo("a", (3.0, 0.0, 1.0)), PredictedVideo("b", (0.0, 0.0, 1.0))]
    assert goal_selection.read("all", CLASSES, None).goals(videos, 0) == [
        [ClassGoal(1), ClassGoal(2)],
        [ClassGoal(0), ClassGoal(1)],
    ]
    pair = goal_selection.read("up:left", CLASSES, None)
    assert [pair.applies(video.output) for video in videos] == [True, False]
    assert pair.goals(videos[:1], 0) == [[ClassGoal(2)]]


def test_a_group_of_the_dataset_is_drawn_from_as_evenly_as_all_classes():
    groups = {"next": {0: [1], 1: [2], 2: [0]}, "others": {k: [0, 1, 2] for k in range(3)}}
    videos = [PredictedVideo(str(i), tuple(float(k == i % 3) for k in range(3))) for i in range(30)]
    chosen = goal_selection.read("next", CLASSES, None, groups).goals(videos, 0)
    assert chosen == [[ClassGoal((i + 1) % 3)] for i in range(30)]
    assert goal_selection.read("others", CLASSES, None, groups).goals(videos, 0) == (
        goal_selection.read("one", CLASSES, None).goals(videos, 0)
    )
    with pytest.raises(UsageError, match="--goals must be one, all, next, others or SRC:DST, not 'nxt'"):
        goal_selection.read("nxt", CLASSES, None, groups)


@pytest.mark.parametrize(
    ("text", "classes", "values", "message"),
    [
        ("both", CLASSES, None, "one, all or SRC:DST, not 'both'"),
        ("up:lift", CLASSES, None, "unknown class 'lift' in --goals; did you mean 'left'"),
        ("up:up", CLASSES, None, "requests no change"),
        ("80", (), PERCENT, "--goals 80 is outside 20 to 75 percent"),
        ("up:left", (), PERCENT, "one, all, uniform or a value in percent, not 'up:left'"),
        ("one", (), None, "neither classes nor a range of values"),
    ],
)
def test_invalid_selections(text, classes, values, message):
    with pytest.raises(UsageError, match=message):
        goal_selection.read(text, classes, values)
