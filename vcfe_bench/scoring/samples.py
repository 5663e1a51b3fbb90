"""Scores of one counterfactual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vcfe_bench.core.errors import describe
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


@dataclass(frozen=True)
class CaseScores:
    """The scores of one counterfactual.

    Attributes:
        values: by metric name; NaN where the metric is undefined or failed.
        versions: versions of the metrics, by the same names.
        errors: for each metric that failed, the exception in one line.
        curves: the arrays behind the values, by curve name.
    """

    values: Mapping[str, float]
    versions: Mapping[str, int]
    errors: Mapping[str, str]
    curves: Mapping[str, np.ndarray]


def score_case(case: Case, metrics: Sequence[SampleMetric]) -> CaseScores:
    """The values of all ``metrics`` for one counterfactual. A metric that raises an exception has none."""
    values: dict[str, float] = {}
    errors: dict[str, str] = {}
    curves: dict[str, np.ndarray] = {}
    for metric in metrics:
        name = metric.card.name
        try:
            values[name] = clip_to_range(float(metric.score(case)), metric.card)
            curves |= metric.curves(case)
        except Exception as error:
            values[name], errors[name] = float("nan"), describe(error)
    return CaseScores(values, {metric.card.name: metric.card.version for metric in metrics}, errors, curves)


def clip_to_range(value: float, card: Card) -> float:
    """The value, moved into the range on the metric's card if only rounding took it outside.

    Raises:
        ValueError: the value is infinite, or outside by more than rounding.
    """
    if math.isinf(value):
        raise ValueError(f"{value} is no value; a metric that is undefined returns NaN")
    low, high = card.range
    inside = float(np.clip(value, low, high))
    if not np.isclose(value, inside, atol=1e-6, equal_nan=True):
        raise ValueError(f"{value:g} is outside the range on the card, {low:g} to {high:g}")
    return inside
