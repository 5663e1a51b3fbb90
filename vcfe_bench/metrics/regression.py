"""Regression: how far is the target's prediction for the counterfactual from the requested value?

``RMSE`` and ``R2`` are statistics of a whole set of counterfactuals, not means of numbers per video.
"""

from __future__ import annotations

import math

import numpy as np

from vcfe_bench.goals import goal_value
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, PairMetric, SampleMetric


class _ValueMetric:
    """Available for datasets whose labels are values."""

    def unavailable(self, dataset: Dataset) -> str | None:
        return "the dataset's labels are not values" if dataset.values is None else None


class AbsoluteError(_ValueMetric, SampleMetric):
    """Distance between the target's prediction for the counterfactual and the value that the goal requests."""

    card = Card(
        name="MAE",
        question="How far is the target's prediction for the counterfactual from the requested value?",
        criterion="validity",
        direction="lower",
        unit="the target's unit",
        range=(0.0, float("inf")),
        source="definition",
        failure_modes="Adversarial noise reaches 0 without any visible change: read it alongside semantic_FR. "
        "Depends on how far the goals lie from the originals: compare with the row of no_edit. NaN for goals about "
        "classes.",
    )

    def score(self, case: Case) -> float:
        requested, reached = goal_value(case.goal), float(case.after[0])
        return math.nan if requested is None or not math.isfinite(reached) else abs(reached - requested)


class RMSE(_ValueMetric, PairMetric):
    """Root mean squared error of the target's predictions with respect to the values that the goals request."""

    card = Card(
        name="RMSE",
        question="How far are the target's predictions from the requested values, with large errors weighing most?",
        criterion="validity",
        direction="lower",
        unit="the target's unit",
        range=(0.0, float("inf")),
        source="definition",
        failure_modes="One video with a large error outweighs many with small ones: read it alongside MAE. "
        "Adversarial noise reaches 0 without any visible change. Depends on how far the goals lie from the "
        "originals: compare with no_edit.",
    )

    def value(self, requested: np.ndarray, reached: np.ndarray) -> float:
        return rmse(requested, reached)


class R2(_ValueMetric, PairMetric):
    """Coefficient of determination of the target's predictions with respect to the values that the goals request."""

    card = Card(
        name="R2",
        question="How much of the variation in the requested values do the target's predictions follow?",
        criterion="validity",
        direction="higher",
        unit="share of variance",
        range=(float("-inf"), 1.0),
        source="definition: 1 - Σ (reached - requested)² / Σ (requested - mean requested)²",
        failure_modes="Depends on the spread of the goals, and is undefined where all request the same value. Below "
        "0 the method does not follow the goals, and the size of a negative value means little. Adversarial noise "
        "reaches 1.",
        min_samples=2,
    )

    def value(self, requested: np.ndarray, reached: np.ndarray) -> float:
        return r2(requested, reached)


def rmse(requested: np.ndarray, reached: np.ndarray) -> float:
    """Root mean squared error of ``reached [n]`` with respect to ``requested [n]``, in their unit.

    >>> rmse(np.array([1.0, 2.0]), np.array([4.0, 5.0]))
    3.0
    """
    return math.sqrt(np.mean((reached - requested) ** 2))


def r2(requested: np.ndarray, reached: np.ndarray) -> float:
    """Coefficient of determination of values ``[n]``: ``1 - Σ (reached - requested)² / Σ (requested - mean)²``.

    1 where every requested value is reached, 0 for a method that always reaches the mean of the requested values,
    negative for worse; NaN where all requested values are equal.

    >>> r2(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    0.0
    """
    if np.ptp(requested) == 0:
        return math.nan
    return float(1 - ((reached - requested) ** 2).sum() / ((requested - requested.mean()) ** 2).sum())
