"""Metrics over sets and pairs for records that several runs contribute to one row."""

from __future__ import annotations

from collections.abc import Sequence

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.metric import Metric, PairMetric, SampleMetric
from vcfe_bench.runs.journal import SetRow
from vcfe_bench.runs.records import Record, ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.scoring.features import FeatureStore, original_hashes, stored_features
from vcfe_bench.scoring.pairs import score_pairs
from vcfe_bench.scoring.sets import Floor, SetFeatures, SetScore, score_floor, score_set, set_row

Part = tuple[RunDirectory, Sequence[Record]]
"""A run with some of its successful records."""


def pooled(method: str, card: ScoredCard, parts: Sequence[Part]) -> SetRow:
    """The value of a set or pair metric over the records of one method in several runs.

    Features are those that the runs store. Where they are missing, or the metric is not registered, the row has a
    reason instead of a value.
    """
    try:
        score, floor = _score(registry.METRICS.build(card.spec), parts)
    except UsageError as error:
        score, floor = SetScore(sum(len(records) for _, records in parts), reason=str(error)), Floor()
    return set_row(method, card.name, card.version or 1, score, floor)


def _score(metric: Metric, parts: Sequence[Part]) -> tuple[SetScore, Floor]:
    if isinstance(metric, PairMetric):
        return score_pairs([record for _, records in parts for record in records], metric), Floor()
    assert not isinstance(metric, SampleMetric)
    features = [stored_features(store, metric, records) for store, records in parts]
    together = SetFeatures(
        [video for part in features for video in part.originals],
        [video for part in features for video in part.counterfactuals],
        [source for part in features for source in part.sources],
    )
    hashes = [sha256 for store, records in parts for sha256 in original_hashes(store, records)]
    first = parts[0][0]
    reference = FeatureStore(first, metric.network, metric.card.version).stored(first.real_videos())
    floor = score_floor(dict(zip(hashes, together.originals, strict=True)), reference, metric)
    return score_set(together, metric), floor
