"""``vcfe-bench validate metrics``: which metrics distinguish true edits from negative controls ("fakes")?

The negative controls are methods: they run, are stored and are scored like any other, alongside the reference methods.
For each metric, AUROC is the probability that it rates the true edit of a random video above the fake of a random
video, where ties count half: 1 for a metric that always recognises the fake, 0.5 for one that does not distinguish
them, below 0.5 for one that prefers the fake. A metric over a set has no value per video; its AUROC is the probability
that it rates the true edits of ``SUBSET`` random videos above the fakes of the same videos.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pandas as pd

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import CallFailed, UsageError
from vcfe_bench.executors import choice
from vcfe_bench.plugins import apart, registry
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.metric import SetMetric
from vcfe_bench.plugins.terms import Criterion
from vcfe_bench.results.rows import asked
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.runs.tables import records_table
from vcfe_bench.scoring.features import stored_features
from vcfe_bench.scoring.session import score_run
from vcfe_bench.scoring.sets import SetFeatures
from vcfe_bench.stats import intervals
from vcfe_bench.stats.subsets import null_band, share_interval
from vcfe_bench.workflows.negative_controls import SPLIT, TRUE_EDIT, negative_controls
from vcfe_bench.workflows.scored_run import scored_run

SUBSET, SUBSETS = 16, 200
"""Set metrics are compared on this many random videos at a time, half of all videos if these are fewer than twice as
many, and this many times."""


@dataclass(frozen=True)
class Comparison:
    """How well a metric distinguishes true edits from the videos of another method.

    Attributes:
        fake: the other method.
        auroc: oriented by the metric's direction; without a direction, higher counts as better. ``low`` and ``high``
            bound its 95 % interval over videos.
        n: number of videos with both values; for a set metric, number of videos in a subset.
        true_mean: mean value of the true edits over videos (or subsets), ``fake_mean`` that of the fakes.
        null_low, null_high: the range of the AUROC of a set metric that rates both alike (95 %); NaN for others.
    """

    metric: str
    criterion: Criterion | None
    direction: Literal["higher", "lower"] | None
    fake: str
    auroc: float
    low: float
    high: float
    n: int
    true_mean: float
    fake_mean: float
    null_low: float = math.nan
    null_high: float = math.nan


def verdict(low: float, high: float) -> str:
    """What the interval of an AUROC says about the metric."""
    if low > 0.5:
        return "recognises the fake"
    return "prefers the fake" if high < 0.5 else "cannot tell"


def validate(dataset: str, limit: int, observer: Observer | None = None, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Run the study with all registered metrics on ``limit`` validation videos, with one goal each.

    The counterfactuals of ``methods`` are compared with true edits like the negative controls. Returns one
    ``Comparison`` per row.

    Raises:
        UsageError: the dataset cannot render true edits, or anything else that the user has to change.
    """
    observer = observer or Observer()
    setup = _setup(Request((TRUE_EDIT, *methods), dataset, SPLIT, limit))
    with TemporaryDirectory() as folder:
        with scored_run(Path(folder) / "run", setup.configuration()) as store:
            generate(setup, store, observer, choice.current())
            score_run(store, setup.dataset, None, observer)
        cards = store.cards()
        records = asked(records_table(store), cards)
        return pd.DataFrame([*compare(records, cards), *compare_sets(store, records, cards)])


def _setup(request: Request) -> Setup:
    """The setup of a request, with the negative controls.

    Raises:
        UsageError: the dataset cannot render true edits.
    """
    setup = resolve(request)
    if not isinstance(setup.dataset, Renderer):
        raise UsageError(f"dataset '{setup.dataset.spec}' has no true edits to compare negative controls with")
    methods = (*negative_controls(setup.dataset), *setup.methods)
    return dataclasses.replace(setup, methods=methods, recipe=partial(_setup, request))


def auroc(true: np.ndarray, fake: np.ndarray) -> float:
    """Probability that one of ``true [n]`` is greater than one of ``fake [m]``, ties counting half; NaN for none."""
    return float(_wins(true, fake).mean()) if len(true) and len(fake) else np.nan


def auroc_interval(true: np.ndarray, fake: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of ``auroc`` where ``true[i]`` and ``fake[i]``, ``[n]``, are of one video.

    Videos are drawn with replacement. NaN for fewer than two videos.
    """
    count = len(true)
    if count < 2:
        return np.nan, np.nan
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), intervals.RESAMPLES)
    values = ((draws @ _wins(true, fake)) * draws).sum(axis=1) / count**2
    tail = (1 - intervals.LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _wins(true: np.ndarray, fake: np.ndarray) -> np.ndarray:
    return (np.sign(true[:, None] - fake) + 1) / 2


def compare(records: pd.DataFrame, cards: Sequence[ScoredCard]) -> list[Comparison]:
    """The comparisons of all sample metrics with all other methods of a run with one goal per video."""
    comparisons = []
    for card in cards:
        if card.level != "sample" or card.unavailable:
            continue
        values = records.pivot(index="sample", columns="method", values=card.name)
        sign = _sign(card)
        for fake in _fakes(records):
            both = values[[TRUE_EDIT, fake]].dropna().to_numpy(float)
            true, false = both.T
            low, high = auroc_interval(sign * true, sign * false, seeds.derive(card.name, fake))
            comparisons.append(
                Comparison(
                    card.name,
                    card.criterion,
                    card.direction,
                    fake,
                    auroc(sign * true, sign * false),
                    low,
                    high,
                    n=len(both),
                    true_mean=true.mean() if len(both) else np.nan,
                    fake_mean=false.mean() if len(both) else np.nan,
                )
            )
    return comparisons


def compare_sets(store: RunDirectory, records: pd.DataFrame, cards: Sequence[ScoredCard]) -> list[Comparison]:
    """The comparisons of all set metrics, from the features that the run stores.

    They are over the videos for which every method has a counterfactual.
    """
    comparisons = []
    done = records[records["status"] == "ok"]
    complete = done.groupby("sample")["method"].nunique() == records["method"].nunique()
    done = done[done["sample"].map(complete)].sort_values("sample")
    by_id = store.records()
    for card in cards:
        if card.level != "set" or card.unavailable:
            continue
        metric = registry.METRICS.build(card.spec)
        assert isinstance(metric, SetMetric)
        features = {
            str(method): stored_features(store, metric, [by_id[id] for id in group["id"]])
            for method, group in done.groupby("method")
        }
        count = len(features[TRUE_EDIT].sources)
        rng = np.random.default_rng(seeds.derive(card.name))
        size = min(SUBSET, count // 2)
        subsets = [rng.choice(count, size, replace=False) for _ in range(SUBSETS)]
        values = {method: _distances_apart(metric, sets, subsets) for method, sets in features.items()}
        band = null_band(size, count, SUBSETS) if size else (math.nan, math.nan)
        for fake in _fakes(records):
            true, false = values[TRUE_EDIT], values[fake]
            share = float((np.sign(_sign(card) * (true - false)) + 1).mean() / 2)
            low, high = share_interval(share, size, count, SUBSETS) if size else (math.nan, math.nan)
            comparisons.append(
                Comparison(
                    card.name,
                    card.criterion,
                    card.direction,
                    fake,
                    share,
                    low,
                    high,
                    n=size,
                    true_mean=true.mean(),
                    fake_mean=false.mean(),
                    null_low=band[0],
                    null_high=band[1],
                )
            )
    return comparisons


def _distances_apart(metric: SetMetric, features: SetFeatures, subsets: Sequence[np.ndarray]) -> np.ndarray:
    """As ``_distances``; NaN where the metric fails."""
    try:
        return apart.call(metric, _distances, metric, features, subsets)
    except CallFailed:
        return np.full(len(subsets), np.nan)


def _distances(metric: SetMetric, features: SetFeatures, subsets: Sequence[np.ndarray]) -> np.ndarray:
    """The distance between the originals and the counterfactuals of each subset, ``[subsets]``."""
    sides = features.originals, features.counterfactuals, features.sources
    return np.array([metric.distance(*([side[i] for i in subset] for side in sides)) for subset in subsets])


def _fakes(records: pd.DataFrame) -> list[str]:
    """The methods of a run that are compared with true edits."""
    return [method for method in records["method"].unique() if method != TRUE_EDIT]


def _sign(card: ScoredCard) -> int:
    return -1 if card.direction == "lower" else 1
