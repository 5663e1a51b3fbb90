"""Regression: how far is the value that the target says of the counterfactual from the one that was asked?

``rmse`` and ``r2`` belong to a whole set of counterfactuals: neither is a mean of numbers per video.
"""

from __future__ import annotations

import math

import numpy as np

from vcfe_bench.goals import Both, Goal, ValueGoal
from vcfe_bench.interfaces import Card, Case, SampleMetric


def goal_value(goal: Goal) -> float | None:
    """The value a goal asks for; None for goals about classes. Of two goals at once, the first that names a value."""
    match goal:
        case ValueGoal(value):
            return value
        case Both(first, second):
            wished = goal_value(first)
            return goal_value(second) if wished is None else wished
    return None


class AbsoluteError(SampleMetric):
    """Distance between the value that the target says of the counterfactual and the value that the goal asks for."""

    card = Card(
        name="MAE",
        question="How far is the value that the target says of the counterfactual from the one that was asked?",
        criterion="validity",
        direction="lower",
        unit="the target's unit",
        range=(0.0, float("inf")),
        source="definition",
        failure_modes="Adversarial noise reaches 0 without any visible change: read it beside semantic_FR. Depends on "
        "how far from the original the goals lie: compare with the row of no_edit. NaN for goals about classes.",
    )

    def score(self, case: Case) -> float:
        asked, reached = goal_value(case.goal), float(case.after[0])
        return math.nan if asked is None or not math.isfinite(reached) else abs(reached - asked)


def rmse(asked: np.ndarray, reached: np.ndarray) -> float:
    """Root of the mean squared error of values ``reached [n]`` from those ``asked [n]``, in their unit."""
    return math.sqrt(np.mean((reached - asked) ** 2))


def r2(asked: np.ndarray, reached: np.ndarray) -> float:
    """Coefficient of determination of values ``[n]``: ``1 - Σ (reached - asked)² / Σ (asked - mean asked)²``.

    1 where every value was reached, 0 for a method that always reaches the mean of what was asked, negative for worse;
    NaN where the same value was asked of all.
    """
    if np.ptp(asked) == 0:
        return math.nan
    return float(1 - ((reached - asked) ** 2).sum() / ((asked - asked.mean()) ** 2).sum())
