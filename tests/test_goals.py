from __future__ import annotations

import math
from functools import reduce
from operator import and_

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfe_bench.goals import AvoidGoal, Both, ClassGoal, Confidence, Goal, ValueGoal, goal_value, losses, parse

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0], [0.5, 0.25, 0.0]])
VALUES = torch.tensor([[3.0], [4.0], [4.5], [1.0]])


def _probability(row: int, index: int) -> float:
    weights = [math.exp(logit) for logit in LOGITS[row].tolist()]
    return weights[index] / sum(weights)


def test_class_goal_is_the_cross_entropy_and_the_largest_logit():
    goal = ClassGoal(0)
    assert goal.loss(LOGITS).tolist() == pytest.approx([-math.log(_probability(row, 0)) for row in range(3)])
    assert goal.met(LOGITS).tolist() == [True, False, True]


def test_avoid_goal_is_the_opposite_of_the_class_goal():
    torch.testing.assert_close(AvoidGoal(0).loss(LOGITS), -(1 - (-ClassGoal(0).loss(LOGITS)).exp()).log())
    assert AvoidGoal(0).met(LOGITS).tolist() == [False, True, False]


def test_confidence_is_a_hinge_on_the_log_probability():
    goal = Confidence(0, 0.8)
    assert goal.met(LOGITS).tolist() == [_probability(row, 0) >= 0.8 for row in range(3)] == [True, False, False]
    expected = [max(0.0, math.log(0.8) - math.log(_probability(row, 0))) for row in range(3)]
    assert goal.loss(LOGITS).tolist() == pytest.approx(expected, abs=1e-6)
    assert goal.loss(LOGITS)[0] == 0


def test_value_goal_is_in_units_of_the_tolerance():
    goal = ValueGoal(4.0, 0.5)
    assert goal.loss(VALUES).tolist() == pytest.approx([4.0, 0.0, 1.0, 36.0])
    assert goal.met(VALUES).tolist() == [False, True, True, False]


def test_both_adds_losses_and_requires_both_goals():
    first, second = ClassGoal(0), Confidence(0, 0.8)
    goal = first & second
    assert goal == Both(first, second)
    assert torch.equal(goal.loss(LOGITS), first.loss(LOGITS) + second.loss(LOGITS))
    assert goal.met(LOGITS).tolist() == [True, False, False]


def test_composition_does_not_depend_on_brackets():
    a, b, c = ClassGoal(1), Confidence(1, 0.9), AvoidGoal(2)
    assert (a & b) & c == a & (b & c)
    assert str(a & b & c) == "class=1&confidence=1:0.9&avoid=2"


@pytest.mark.parametrize("goal", [ClassGoal(1), AvoidGoal(0), Confidence(1, 0.9), ClassGoal(1) & Confidence(1, 0.9)])
def test_descending_the_loss_meets_the_goal(goal):
    output = LOGITS.clone().requires_grad_()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(goal.loss(output).sum(), output)
        output = (output - 0.5 * gradient).detach().requires_grad_()
    assert goal.met(output).all()


def test_losses_use_the_goal_of_each_row():
    goals = [ClassGoal(0), AvoidGoal(1), Confidence(2, 0.7)]
    expected = torch.stack([goal.loss(LOGITS)[row] for row, goal in enumerate(goals)])
    torch.testing.assert_close(losses(goals, LOGITS), expected)


indices = st.integers(0, 1000)
numbers = st.floats(allow_nan=False, allow_infinity=False)
simple = st.one_of(
    st.builds(ClassGoal, indices),
    st.builds(AvoidGoal, indices),
    st.builds(Confidence, indices, st.floats(0, 1, exclude_min=True, exclude_max=True)),
    st.builds(ValueGoal, numbers, st.floats(0, exclude_min=True, allow_infinity=False)),
)


@given(st.lists(simple, min_size=1, max_size=4))
def test_parse_restores_the_goal_from_its_text(parts: list[Goal]):
    goal = reduce(and_, parts)
    assert parse(str(goal)) == goal


def test_text_of_round_numbers_is_short():
    assert str(ValueGoal(60, 5)) == str(ValueGoal(60.0, 5.0)) == "value=60±5"


@pytest.mark.parametrize("text", ["", "class", "class=x", "value=3", "confidence=1", "colour=2", "class=1&"])
def test_other_text_is_an_error(text):
    with pytest.raises(ValueError, match=r"could not convert|invalid literal|not the text"):
        parse(text)


@settings(deadline=None)
@given(numbers, numbers, indices)
def test_goal_value_is_the_first_requested_value(first: float, second: float, index: int):
    goal, other = ValueGoal(first, 1.0), ValueGoal(second, 1.0)
    assert goal_value(goal) == goal_value(goal & other) == goal_value(ClassGoal(index) & goal & other) == first
    assert goal_value(ClassGoal(index) & Confidence(index, 0.9)) is None
