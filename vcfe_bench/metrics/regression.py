"""Regression: how far is the value that the target says of the counterfactual from the one that was asked?

``RMSE`` and ``R2`` belong to a whole set of counterfactuals: neither is a mean of numbers per video.
"""

from __future__ import annotations

import math

import numpy as np

from vcfe_bench.goals import goal_value
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, PairMetric, SampleMetric


class _ValueMetric:
    """Is there for datasets whose labels are values."""

    def unavailable(self, dataset: Dataset) -> str | None:
        return "the dataset's labels are no values" if dataset.values is None else None


class AbsoluteError(_ValueMetric, SampleMetric):
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


class RMSE(_ValueMetric, PairMetric):
    """Root of the mean squared difference between the target's values and those that the goals ask for."""

    card = Card(
        name="RMSE",
        question="How far are the target's values from those that were asked, large misses counting most?",
        criterion="validity",
        direction="lower",
        unit="the target's unit",
        range=(0.0, float("inf")),
        source="definition",
        failure_modes="One video far off outweighs many that are near: read it beside MAE. Adversarial noise reaches 0 "
        "without any visible change. Depends on how far the goals lie from the originals: compare with no_edit.",
    )

    def value(self, asked: np.ndarray, reached: np.ndarray) -> float:
        return rmse(asked, reached)


class R2(_ValueMetric, PairMetric):
    """Coefficient of determination of the target's values as predictions of what the goals ask for."""

    card = Card(
        name="R2",
        question="How much of the variation of what was asked do the target's values follow?",
        criterion="validity",
        direction="higher",
        unit="share of variance",
        range=(float("-inf"), 1.0),
        source="definition: 1 - Σ (reached - asked)² / Σ (asked - mean asked)²",
        failure_modes="Depends on the spread of the goals, and is undefined where all ask for the same value. Below 0 "
        "the method does not follow the goals, and how far below says little. Adversarial noise reaches 1.",
        min_samples=2,
    )

    def value(self, asked: np.ndarray, reached: np.ndarray) -> float:
        return r2(asked, reached)


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
