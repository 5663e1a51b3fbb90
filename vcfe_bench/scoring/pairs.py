"""How well the target's values follow the requested ones, over all counterfactuals of a method."""

from __future__ import annotations

from collections.abc import Sequence

from vcfe_bench import goals
from vcfe_bench.core import seeds
from vcfe_bench.core.errors import describe
from vcfe_bench.plugins import apart
from vcfe_bench.plugins.metric import PairMetric
from vcfe_bench.runs.records import Record
from vcfe_bench.scoring.sets import SetScore
from vcfe_bench.stats import intervals


def score_pairs(records: Sequence[Record], metric: PairMetric) -> SetScore:
    """The metric over those successful records of one method whose goals request a value.

    Without such records, or if the metric raises an exception, there is a reason instead of a value.
    """
    values = [goals.goal_value(goals.parse(record.goal)) for record in records]
    pairs = [
        (value, record.after[0], record.sample)
        for value, record in zip(values, records, strict=True)
        if value is not None and record.after is not None
    ]
    if not pairs:
        return SetScore(0, reason="no goal requests a value")
    requested, reached, sources = zip(*pairs, strict=True)
    seed = seeds.derive(records[0].method, metric.card.name)
    try:
        estimate = apart.call(metric, intervals.pairs_interval, requested, reached, metric.value, sources, seed)
        return SetScore.of(estimate, metric.card)
    except (Exception, SystemExit) as error:
        return SetScore(len(pairs), reason=describe(error))
