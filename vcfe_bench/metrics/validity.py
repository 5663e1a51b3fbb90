"""Validity: does the counterfactual reach the goal, for the target and in its content?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.goals import Both, ClassGoal, Confidence, Goal
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.plugins.abilities import Oracle
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric


def goal_class(goal: Goal) -> int | None:
    """The class that a goal requests; None for goals about values. For two goals at once, the first class named.

    >>> goal_class(ClassGoal(2) & Confidence(0, 0.9))
    2
    """
    match goal:
        case ClassGoal(index) | Confidence(index):
            return index
        case Both(first, second):
            requested = goal_class(first)
            return goal_class(second) if requested is None else requested
    return None


def probability(output: Tensor, goal: Goal) -> float:
    """Softmax probability that the raw output ``[K]`` gives to the goal's class; NaN for goals about values."""
    index = goal_class(goal)
    return float("nan") if index is None else float(output.double().softmax(dim=0)[index])


def oracle_label(footage: Footage) -> int | float | None:
    """The label of a video's content, as measured by the dataset's oracle; None where it finds none."""
    assert isinstance(footage.dataset, Oracle)
    return footage.dataset.oracle(footage.sample, footage.video)


class FlipRate(SampleMetric):
    """1 where the prediction for the counterfactual meets the goal (equation 10 of arXiv 2511.20295), else 0.

    A prediction that is not finite does not meet it.
    """

    card = Card(
        name="FR",
        question="How often does the target's prediction for the counterfactual meet the goal?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="arXiv 2511.20295, equation 10; on the stored 8-bit video",
        failure_modes="Adversarial noise reaches 1.0 without any visible change: read it alongside semantic_FR. "
        "Originals that already meet the goal count as flipped; only the choice of goals can prevent it.",
        version=2,
        unanswered=0.0,
    )

    def score(self, case: Case) -> float:
        return float(flipped(case))


class SemanticFlipRate(SampleMetric):
    """1 where the content of the counterfactual, as measured by the dataset's oracle, meets the goal, else 0.

    The oracle's label is presented as the output of a target that is certain of it, so that every kind of goal applies.
    """

    card = Card(
        name="semantic_FR",
        question="How often does the content of the counterfactual, measured without a classifier, meet the goal?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="oracle of the dataset",
        failure_modes="A broken object counts as 0, like an unchanged one. The oracle may be wrong, on true edits "
        "too: compare with the row of true_edit. Only available for datasets with an oracle.",
        unanswered=0.0,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        return None if isinstance(dataset, Oracle) else "the dataset has no oracle"

    def score(self, case: Case) -> float:
        if not torch.isfinite(case.counterfactual).all():
            return float("nan")
        label = case.edited.shared(oracle_label)
        if label is None:
            return 0.0
        if case.dataset.classes:
            certain = 1e4 * F.one_hot(torch.tensor([int(label)]), case.after.numel()).float()
        else:
            certain = torch.tensor([[float(label)]])
        return float(case.goal.met(certain)[0])


class ConfidenceBefore(SampleMetric):
    """Softmax probability of the goal's class for the original."""

    card = Card(
        name="confidence_before",
        question="How confident was the target in the goal's class before the change?",
        criterion="validity",
        direction=None,
        unit="probability",
        range=(0.0, 1.0),
        source="softmax of the target's logits",
        failure_modes="A property of the target and the goals, not of the method. NaN for goals about values.",
    )

    def score(self, case: Case) -> float:
        return probability(case.before, case.goal)


class ConfidenceAfter(SampleMetric):
    """Softmax probability of the goal's class for the counterfactual."""

    card = Card(
        name="confidence_after",
        question="How confident is the target in the goal's class after the change?",
        criterion="validity",
        direction="higher",
        unit="probability",
        range=(0.0, 1.0),
        source="softmax of the target's logits",
        failure_modes="Softmax probabilities are rarely calibrated, and adversarial noise drives them to 1. NaN for "
        "goals about values.",
    )

    def score(self, case: Case) -> float:
        return probability(case.after, case.goal)
