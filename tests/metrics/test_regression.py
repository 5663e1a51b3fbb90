import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from vcfe_bench import interfaces
from vcfe_bench.goals import AvoidGoal, ClassGoal, Confidence, ValueGoal
from vcfe_bench.metrics.regression import R2, RMSE, AbsoluteError, r2, rmse

values = arrays(float, 12, elements=st.floats(-100, 100))


@pytest.mark.parametrize(("reached", "error"), [(60.0, 0.0), (53.5, 6.5), (71.0, 11.0)])
def test_absolute_error_is_the_distance_from_the_goals_value(case, reached, error):
    assert AbsoluteError().score(case(goal=ValueGoal(60.0, 5.0), after=torch.tensor([reached]))) == error


def test_absolute_error_does_not_depend_on_tolerance_or_on_the_original(case):
    scores = [
        AbsoluteError().score(case(goal=ValueGoal(60.0, t), before=torch.tensor([b]), after=torch.tensor([50.0])))
        for t, b in [(1.0, 0.0), (30.0, 60.0)]
    ]
    assert scores == [10.0, 10.0]


@pytest.mark.parametrize("goal", [ClassGoal(1), AvoidGoal(1), Confidence(1, 0.9), ClassGoal(1) & Confidence(1, 0.9)])
def test_goals_about_classes_have_no_error(case, goal):
    assert math.isnan(AbsoluteError().score(case(goal=goal)))


def test_for_two_goals_the_one_about_a_value_counts(case):
    for goal in (ClassGoal(0) & ValueGoal(3.0, 1.0), ValueGoal(3.0, 1.0) & ClassGoal(0)):
        assert AbsoluteError().score(case(goal=goal, after=torch.tensor([5.0]))) == 2.0


@pytest.mark.parametrize("reached", [math.nan, math.inf])
def test_an_output_that_is_not_finite_gives_nan(case, reached):
    assert math.isnan(AbsoluteError().score(case(goal=ValueGoal(60.0, 5.0), after=torch.tensor([reached]))))


def test_rmse_and_r2_of_a_worked_example():
    asked, reached = np.array([20.0, 40.0, 60.0]), np.array([23.0, 36.0, 60.0])
    assert rmse(asked, reached) == pytest.approx(math.sqrt(25 / 3))
    assert r2(asked, reached) == pytest.approx(1 - 25 / 800)


@given(values, values)
def test_squared_rmse_is_squared_bias_plus_variance(asked, reached):
    error = reached - asked
    assert rmse(asked, reached) ** 2 == pytest.approx(error.mean() ** 2 + error.var(), abs=1e-9)


@given(values, values)
def test_rmse_is_at_least_the_mean_absolute_error(asked, reached):
    assert rmse(asked, reached) >= np.abs(reached - asked).mean() - 1e-9


@given(values, values)
def test_r2_of_a_least_squares_line_is_the_squared_correlation(asked, given_value):
    assume(asked.std() > 0.1)
    assume(given_value.std() > 0.1)
    line = stats.linregress(given_value, asked)
    fitted = line.intercept + line.slope * given_value
    assert r2(asked, fitted) == pytest.approx(line.rvalue**2, abs=1e-6)


@given(values, values, st.floats(0.1, 10), st.floats(-100, 100))
def test_r2_has_no_unit(asked, reached, scale, shift):
    assume(asked.std() > 0.1)
    other = r2(scale * asked + shift, scale * reached + shift)
    assert other == pytest.approx(r2(asked, reached), rel=1e-6, abs=1e-6)


def test_reference_values_of_r2():
    asked = np.array([10.0, 20.0, 40.0, 70.0])
    assert r2(asked, asked) == 1
    assert r2(asked, np.full(4, asked.mean())) == pytest.approx(0)
    assert r2(asked, asked + 5) == pytest.approx(1 - 25 / asked.var())
    assert r2(asked, asked[::-1]) < 0


def test_r2_of_equal_goals_is_undefined():
    assert math.isnan(r2(np.full(5, 0.1), np.arange(5.0)))
    assert math.isnan(r2(np.array([3.0]), np.array([3.0])))


@settings(deadline=None)
@given(values, values)
def test_the_metrics_give_the_numbers_of_their_definitions(asked, reached):
    assert RMSE().value(asked, reached) == pytest.approx(float(np.linalg.norm(asked - reached)) / math.sqrt(12))
    assume(asked.std() > 0.1)
    unexplained = np.mean((asked - reached) ** 2) / np.var(asked)
    assert 1 - R2().value(asked, reached) == pytest.approx(unexplained)


@pytest.mark.parametrize("metric", [AbsoluteError(), RMSE(), R2()])
def test_value_metrics_are_for_datasets_of_values(metric, silent):
    assert metric.unavailable(silent) == "the dataset's labels are not values"
    silent.values = interfaces.Values(0, 100, 10, 5, "percent")
    assert metric.unavailable(silent) is None
