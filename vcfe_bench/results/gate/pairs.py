"""One method by one deciding metric in a run and in a baseline, paired by video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.rows import asked
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats import exchange
from vcfe_bench.stats.exchange import UNCHANGED, OneSided

V = TypeVar("V", float, pd.Series)
QUESTION = ["sample", "goal", "seed"]
ROUNDING = 1e-6
"""Values that differ by less than this share are equal: those of one video on two machines."""
DRIVERS = 3
"""How many of the videos that lost most are named."""


@dataclass(frozen=True)
class Pair:
    """A method by a metric in both results.

    Attributes:
        before: value in the baseline, ``after`` in the run, both over the videos that both have values for.
        loss: by how much the run is worse; negative where it is better.
        videos: how many videos that is.
        deviation: standard deviation of the losses between videos; of a set metric, √videos times that of its loss
            under exchange.
        test: whether the loss is more than exchanging the two results of each video gives; None where the baseline has
            no values of single videos.
        lost: why values are missing that the baseline has; empty if none are, or only by the metric's own condition.
        missing: for how many videos values are ``lost``.
        drivers: the videos that lost most.
    """

    method: str
    card: ScoredCard
    before: float
    after: float
    loss: float
    videos: int
    deviation: float
    test: OneSided | None
    lost: str = ""
    missing: int = 0
    drivers: str = ""

    @property
    def same(self) -> bool:
        return (abs(self.loss) <= ROUNDING * abs(self.before)) if self.test is None else self.test == UNCHANGED


def pair(against: Result, run: Result, method: str, card: ScoredCard) -> Pair:
    """Compare a method by a metric.

    Raises:
        UsageError: the two have values for different videos or goals, features of a set metric are missing, or its
            distance cannot be computed.
    """
    if against.records is None:
        return _of_tables(against, run, method, card)
    return _of_sets(against, run, method, card) if card.level == "set" else _of_values(against, run, method, card)


def records_of(result: Result, method: str) -> pd.DataFrame:
    """The records of all tasks that the method was asked; their index is the place in ``Result.records``."""
    assert result.records is not None
    return asked(result.records[result.records["method"] == method], result.about.metrics)


def _answers(result: Result, method: str) -> pd.DataFrame:
    """The values of all sample metrics by video, goal and seed, in order; NaN where there is none."""
    if method not in result.answers:
        records = records_of(result, method)
        names = [card.name for card in result.about.metrics if card.level == "sample" and card.name in records]
        result.answers[method] = records.groupby(QUESTION)[names].mean()
    return result.answers[method]


def _of_tables(against: Result, run: Result, method: str, card: ScoredCard) -> Pair:
    before, after = (each.value(method, card.name) for each in (against, run))
    return Pair(method, card, before, after, _loss(card, before, after), 0, math.nan, None)


def _of_values(against: Result, run: Result, method: str, card: ScoredCard) -> Pair:
    both = [_answers(each, method) for each in (against, run)]
    if not both[0].index.equals(both[1].index):
        together = both[0].index.union(both[1].index)
        both = [each.reindex(together) for each in both]
    empty = pd.Series(math.nan, both[0].index)
    before, after = (each.get(card.name, empty) for each in both)
    had, has = before.notna(), after.notna()
    lost, missing = _lost(run, method, card, before.index[had & ~has])
    shared = had & has
    if had.any() and has.any() and not shared.any():
        raise UsageError(f"run and baseline have {card.name} of {method} for no video and goal in common")
    if not shared.any():
        return Pair(method, card, math.nan, math.nan, math.nan, 0, math.nan, UNCHANGED, lost, missing)
    before, after = before[shared], after[shared]
    losses = _loss(card, before, after)
    losses = losses.where(losses.abs() > ROUNDING * np.maximum(before.abs(), ROUNDING), 0.0)
    by_video = losses.groupby("sample", sort=False).sum()
    test = exchange.exchanged_values(by_video.to_numpy(float), seeds.derive(method, card.name))
    deviation = float(by_video.std() * len(by_video) / len(losses))
    worst = by_video[by_video > 0].sort_values(ascending=False).head(DRIVERS)
    drivers = ", ".join(f"{video} ({loss:.4g})" for video, loss in worst.items())
    means = float(before.mean()), float(after.mean())
    return Pair(method, card, *means, float(losses.mean()), len(by_video), deviation, test, lost, missing, drivers)


def _of_sets(against: Result, run: Result, method: str, card: ScoredCard) -> Pair:
    from vcfe_bench.plugins import apart, registry  # these reach torch
    from vcfe_bench.plugins.metric import SetMetric

    metric = registry.METRICS.build(card.spec)
    assert isinstance(metric, SetMetric)
    old, new = (_videos(each, method, card) for each in (against, run))
    shared = old.index.intersection(new.index).sort_values()
    sources = shared.get_level_values("sample").astype(str).tolist()
    sides = [each.loc[shared, ["original", "counterfactual"]].to_numpy() for each in (old, new)]
    differs = (old.loc[shared, ["video_sha256"]] != new.loc[shared, ["video_sha256"]]).to_numpy()[:, 0]
    moved = sorted({source for source, different in zip(sources, differs, strict=True) if different})
    number = np.array([moved.index(source) if source in moved else len(moved) for source in sources], int)

    def value(side: np.ndarray) -> float:
        try:
            sets = list(side[:, 0]), list(side[:, 1])
            return float(apart.call(metric, metric.distance, *sets, sources)) if len(side) else math.nan
        except Exception as error:
            raise UsageError(f"{card.name} of {method} cannot be computed: {describe(error)}") from None

    def loss(exchanged: np.ndarray) -> float:
        swap = np.append(exchanged, False)[number][:, None]
        return _loss(card, value(np.where(swap, sides[1], sides[0])), value(np.where(swap, sides[0], sides[1])))

    before, after = value(sides[0]), value(sides[1])
    test = exchange.exchanged_sets(loss, len(moved), seeds.derive(method, card.name)) if moved else UNCHANGED
    videos = len(set(sources))
    deviation = test.spread * math.sqrt(videos)
    return Pair(method, card, before, after, _loss(card, before, after), videos, deviation, test)


def _videos(result: Result, method: str, card: ScoredCard) -> pd.DataFrame:
    """Hash and features of the counterfactual and of the original of each question that has a counterfactual."""
    records = records_of(result, method)
    done = records[records["status"] == "ok"].drop_duplicates(QUESTION).set_index(QUESTION)
    features = result.features(str(card.network))
    if not set(done["video_sha256"]) | set(done["original_sha256"]) <= set(features):
        raise UsageError(
            f"features of {card.name} are missing for {method}: run 'vcfe-bench rescore RUN', and write the baseline "
            "again with --update if its deciding metrics have changed"
        )
    table = done[["video_sha256"]].copy()
    for column, hashes in (("original", "original_sha256"), ("counterfactual", "video_sha256")):
        table[column] = pd.Series(
            [features[sha256].astype(np.float32) for sha256 in done[hashes]], index=table.index, dtype=object
        )
    return table


def _lost(run: Result, method: str, card: ScoredCard, gone: pd.Index) -> tuple[str, int]:
    """Why the run has no values for these questions although it has counterfactuals: the metric failed on them."""
    if not len(gone):
        return "", 0
    records = records_of(run, method)
    places = records.index[pd.MultiIndex.from_frame(records[QUESTION]).isin(gone)].tolist()
    texts = [run.errors[place, card.name] for place in places if (place, card.name) in run.errors]
    return (f"failed on {len(texts)} videos that the baseline has values for: {texts[0]}" if texts else ""), len(texts)


def _loss(card: ScoredCard, before: V, after: V) -> V:
    return before - after if card.direction == "higher" else after - before


def missing(against: Result, run: Result, method: str) -> Sequence[str]:
    """For each question that has a counterfactual in the baseline and none in the run, why."""
    if against.records is None:
        return []
    old, new = (records_of(each, method).set_index(QUESTION) for each in (against, run))
    had = old.index[old["status"] == "ok"]
    kept = new[new["status"] != "ok"]
    return [str(reason) for reason in kept.loc[kept.index.isin(had), "reason"]]
