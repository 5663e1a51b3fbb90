"""How the values of methods vary in a table, for planning: rates, and standard deviations of paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.gate.pairs import records_of
from vcfe_bench.runs.configuration import REFERENCES


@dataclass(frozen=True)
class Variation:
    """What a table says of a metric: the ``rate`` of a ``method``, or the ``deviation`` of a mean.

    Attributes:
        rate: from 0 to 1, the better end being 1; None for other means.
        deviation: standard deviation over videos of the difference between two methods, the largest among all pairs; of
            a table with one method, √2 times that of its values, as for two independent methods. NaN for rates.
    """

    metric: str
    method: str = ""
    rate: float | None = None
    deviation: float = math.nan


def variation(result: Result) -> list[Variation]:
    """The variation of the deciding metrics that have values for single videos, in their order.

    Reference methods are left out, and so are means of which no two videos have values, or that do not vary.
    """
    cards = result.metrics
    methods = [method for method in result.about.methods if method not in REFERENCES]
    found: list[Variation] = []
    for card in (cards[name] for name in result.about.deciding if cards[name].level == "sample"):
        values = {method: _by_video(result, method, card.name) for method in methods}
        if card.unit == "rate":
            rates = {method: float(part.mean()) for method, part in values.items() if len(part)}
            found += [Variation(card.name, m, p if card.direction == "higher" else 1 - p) for m, p in rates.items()]
            continue
        spreads = [float((values[a] - values[b]).std()) for a, b in combinations(methods, 2)]
        spreads = spreads or [math.sqrt(2) * float(part.std()) for part in values.values()]
        known = [spread for spread in spreads if spread > 0]
        if known:
            found.append(Variation(card.name, deviation=max(known)))
    return found


def _by_video(result: Result, method: str, metric: str) -> pd.Series:
    """The mean over its goals for each video that has a value."""
    return records_of(result, method).groupby("sample")[metric].mean().dropna()
