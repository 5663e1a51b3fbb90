"""Scores of one counterfactual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vcfe_bench.core import process_state
from vcfe_bench.core.errors import describe, interrupts
from vcfe_bench.plugins import apart
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.values import checked_curves, checked_value
from vcfe_bench.plugins.metric import Case, SampleMetric


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


def score_case(case: Case, metrics: Sequence[SampleMetric], settings: Mapping[str, Any] | None = None) -> CaseScores:
    """The values of all ``metrics`` for one counterfactual.

    A metric that raises an exception has none, nor has one that changes the ``settings`` of the process, by default
    those found here; they are put back. The metrics of other distributions are computed in a worker process.
    """
    values: dict[str, float] = {}
    errors: dict[str, str] = {}
    curves: dict[str, np.ndarray] = {}
    for metric in metrics:
        name = metric.card.name
        try:
            measure = partial(measured, settings=settings) if not apart.foreign(metric) else measured
            values[name], found = apart.call(metric, measure, metric, case)
            curves |= found
        except BaseException as error:
            if interrupts(error):
                raise
            values[name], errors[name] = float("nan"), describe(error)
    return CaseScores(values, {metric.card.name: metric.card.version for metric in metrics}, errors, curves)


def measured(
    metric: SampleMetric, case: Case, settings: Mapping[str, Any] | None = None
) -> tuple[float, dict[str, np.ndarray]]:
    """The value of a metric and the curves behind it.

    Raises:
        ContractError: they break the contract, or the ``settings`` of the process, by default those found here, were
            changed. They are put back.
    """
    settings = {**process_state.settings(), **(settings or {})}
    try:
        value = checked_value(metric.score(case), metric.card)
        curves = checked_curves(metric.curves(case))
        if changed := process_state.restore(settings):
            raise ContractError(f"changed the {', '.join(changed)} of the process")
        return value, curves
    finally:
        process_state.restore(settings)
