"""Scores of one counterfactual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vcfe_bench.core.errors import describe, interrupts
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.values import checked_curves, checked_value
from vcfe_bench.plugins.metric import Case, SampleMetric
from vcfe_bench.runs import process_state


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
    those found here; they are put back.
    """
    settings = {**process_state.settings(), **(settings or {})}
    values: dict[str, float] = {}
    errors: dict[str, str] = {}
    curves: dict[str, np.ndarray] = {}
    for metric in metrics:
        name = metric.card.name
        try:
            value = checked_value(metric.score(case), metric.card)
            found = checked_curves(metric.curves(case))
            if changed := process_state.restore(settings):
                raise ContractError(f"changed the {', '.join(changed)} of the process")
            values[name], curves = value, curves | found
        except BaseException as error:
            if interrupts(error):
                raise
            values[name], errors[name] = float("nan"), describe(error)
            process_state.restore(settings)
    return CaseScores(values, {metric.card.name: metric.card.version for metric in metrics}, errors, curves)
