import math

import pytest
import torch

from tests.metrics.conftest import Silent
from vcfe_bench.goals import ClassGoal, Confidence, ValueGoal
from vcfe_bench.metrics.validity import ConfidenceAfter, ConfidenceBefore, FlipRate, SemanticFlipRate


class Knowing(Silent):
    """A dataset whose oracle always returns the same label."""

    def __init__(self, label, classes=("a", "b", "c")):
        super().__init__()
        self.label, self.classes = label, classes

    def oracle(self, sample, video):
        return self.label


@pytest.mark.parametrize(
    ("goal", "flipped"),
    [(ClassGoal(2), 1.0), (ClassGoal(1), 0.0), (Confidence(2, 0.99), 0.0), (ClassGoal(2) & Confidence(2, 0.5), 1.0)],
)
def test_a_flip_is_an_output_that_meets_the_goal(case, goal, flipped):
    assert FlipRate().score(case(goal=goal, before=torch.zeros(3))) == flipped


def test_flip_of_a_value(case):
    assert FlipRate().score(case(goal=ValueGoal(60.0, 5.0), after=torch.tensor([56.0]))) == 1.0


def test_an_output_that_is_not_finite_is_no_flip(case):
    assert FlipRate().score(case(after=torch.tensor([0.0, math.nan, 1.0]))) == 0.0


@pytest.mark.parametrize(("label", "met"), [(2, 1.0), (1, 0.0), (None, 0.0)])
def test_semantic_flips_depend_on_the_oracle_not_on_the_target(case, label, met):
    assert SemanticFlipRate().score(case(dataset=Knowing(label), after=torch.tensor([9.0, 0.0, 0.0]))) == met


@pytest.mark.parametrize("goal", [Confidence(2, 0.95), ClassGoal(2) & Confidence(2, 0.9)])
def test_the_oracle_counts_as_certain(case, goal):
    assert SemanticFlipRate().score(case(dataset=Knowing(2), goal=goal)) == 1.0


@pytest.mark.parametrize(("label", "met"), [(57.0, 1.0), (50.0, 0.0)])
def test_semantic_flips_of_values_have_the_goals_tolerance(case, label, met):
    dataset = Knowing(label, classes=())
    assert SemanticFlipRate().score(case(dataset=dataset, goal=ValueGoal(60.0, 5.0), after=torch.zeros(1))) == met


def test_a_missing_oracle_is_reported(silent):
    assert SemanticFlipRate().unavailable(silent) == "the dataset has no oracle"
    assert SemanticFlipRate().unavailable(Knowing(0)) is None


def test_confidences_are_softmax_probabilities_of_the_goals_class(case):
    before, after = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.0, 5.0])
    both = case(before=before, after=after, goal=ValueGoal(1.0, 1.0) & ClassGoal(2))
    assert ConfidenceBefore().score(both) == pytest.approx(math.exp(3) / sum(map(math.exp, (1, 2, 3))))
    assert ConfidenceAfter().score(both) == pytest.approx(math.exp(5) / (math.exp(5) + 2))
    assert math.isnan(ConfidenceAfter().score(case(goal=ValueGoal(1.0, 1.0))))
