"""Which metrics tell a true edit from a fake? A study on counterfactuals whose truth is known by construction.

The fakes are methods: they run, are stored and are scored like any other, beside the references of every run. For each
metric, AUROC is the probability that it rates the true edit of a video above the fake of a video, both drawn at random,
ties counting half: 1 for a metric that always sees the fake, 0.5 for one that is blind to it, below 0.5 for one that
prefers the fake. A metric of sets has no value per video; there it is the probability that it rates the true edits of a
random half of the videos above the fakes of the same videos.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.abilities import Corrupter, Renderer
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Explanation, Method, Query
from vcfe_bench.plugins.metric import SetMetric
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import METRICS, RECORDS, RunDirectory
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.scoring import score as scoring
from vcfe_bench.scoring.sets import kept_features
from vcfe_bench.stats import intervals
from vcfe_bench.workflows.scored_run import scored_run

TRUTH = "true_edit"
ATTACKS = ("pgd[epsilon=5]", "pgd[epsilon=20]", "pgd[epsilon=80]")
"""Adversarial noise below, at and above the size that is customary."""
BLUR = 1.5
"""σ of the blurred fake, in pixels."""
HALVES = 100
"""Random halves of the videos on which metrics of sets are compared."""
FLICKER = 0.3
"""A flickering frame's brightness is multiplied by 1 ± this at most."""


class _Spoiled(Method):
    """The true edit, altered after it was rendered."""

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return registry.METHODS.build(TRUTH).supports(dataset, target, generator, goal)

    @abstractmethod
    def spoil(self, video: Tensor, query: Query) -> Tensor:
        """The altered video, ``[T, 3, H, W]``."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert isinstance(context.dataset, Renderer)
        return [Explanation(self.spoil(context.dataset.true_edit(q.sample, q.goal), q)) for q in queries]


class Blurred(_Spoiled):
    """The true edit through a Gaussian of σ ``BLUR`` pixels, frame by frame."""

    spec = "blurred"

    def spoil(self, video: Tensor, query: Query) -> Tensor:
        return gaussian_blur(video, [11, 11], [BLUR, BLUR])


class Flickering(_Spoiled):
    """The true edit, each frame but the first brighter or darker at random."""

    spec = "flickering"

    def spoil(self, video: Tensor, query: Query) -> Tensor:
        factors = 1 + FLICKER * (2 * torch.rand(len(video), 1, 1, 1, generator=query.generator()) - 1)
        factors[0] = 1
        return (factors * video).clamp(0, 1)


class Corrupted(Method):
    """The true edit with a corruption that the dataset renders."""

    def __init__(self, corruption: str) -> None:
        super().__init__()
        self.spec = self.corruption = corruption

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert isinstance(context.dataset, Corrupter)
        return [Explanation(context.dataset.corrupted_edit(q.sample, q.goal, self.corruption)) for q in queries]


class Noise(Method):
    """The original with white noise, each video's of the same L2 norm as the change of another method.

    Where values leave [0, 1] they are clipped, which takes a little off the norm.
    """

    def __init__(self, like: Method) -> None:
        super().__init__()
        self.like, self.width = like, like.width
        self.spec = f"noise[like={like.spec}]"

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return self.like.supports(dataset, target, generator, goal)

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        found = []
        for query, explanation in zip(queries, self.like.run(queries, context), strict=True):
            original = query.sample.video
            noise = torch.randn(original.shape, generator=query.generator("noise"))
            length = (explanation.video - original).norm()
            found.append(Explanation((original + length * noise / noise.norm()).clamp(0, 1)))
        return found


class Another(Method):
    """Another test video that shows the goal, the next one after a place drawn at random."""

    spec = "another_video"

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(self._other(query, context.dataset).video) for query in queries]

    def _other(self, query: Query, dataset: Dataset) -> Sample:
        size = dataset.size("test")
        for step in range(size):
            other = dataset.sample("test", (query.seed + step) % size)
            if other.id != query.sample.id and _shows(query.goal, other.label):
                return other
        raise NotImplementedError(f"no other video shows {query.goal}")


def _shows(goal: Goal, label: int | float) -> bool:
    return label == goal.index if isinstance(goal, ClassGoal) else bool(goal.met(torch.tensor([[float(label)]])))


def fakes(dataset: Dataset) -> tuple[Method, ...]:
    """All fakes but those that every run makes (reconstruction, no edit)."""
    attacks = [registry.METHODS.build(spec) for spec in ATTACKS]
    noises = [Noise(like) for like in (*attacks, registry.METHODS.build(TRUTH))]
    corruptions = dataset.corruptions if isinstance(dataset, Corrupter) else ()
    return (*attacks, *noises, Blurred(), Flickering(), *map(Corrupted, corruptions), Another())


def auroc(true: np.ndarray, fake: np.ndarray) -> float:
    """Probability that one of ``true [n]`` is greater than one of ``fake [m]``, ties counting half; NaN for none."""
    return float(_wins(true, fake).mean()) if len(true) and len(fake) else np.nan


def auroc_interval(true: np.ndarray, fake: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of ``auroc`` where ``true[i]`` and ``fake[i]``, ``[n]``, are of one video.

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


def validate(dataset: str, limit: int, observer: Observer | None = None, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Run the study with all registered metrics on ``limit`` test videos, one goal each.

    The outputs of ``methods`` are held against true edits beside the fakes. Returns the rows of ``compare`` and of
    ``compare_sets``.

    Raises:
        UsageError: the dataset has no true edits, or anything else that the user has to change.
    """
    observer = observer or Observer()
    setup = resolve(Request((TRUTH, *methods), dataset, limit=limit))
    if not isinstance(setup.dataset, Renderer):
        raise UsageError(f"dataset '{setup.dataset.spec}' has no true edits: there is nothing to hold fakes against")
    setup = dataclasses.replace(setup, methods=(*fakes(setup.dataset), *setup.methods))
    with TemporaryDirectory() as folder:
        with scored_run(Path(folder) / "run", setup.configuration()) as store:
            generate(setup, store, observer)
            scoring.score(store, setup.dataset, None, observer)
        records, cards = store.table(RECORDS), store.json(METRICS)
        return pd.concat([compare(records, cards), compare_sets(store, records, cards)], ignore_index=True)


def compare(records: pd.DataFrame, cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """How well each sample metric tells true edits from the videos of each other method of a run with one goal a video.

    One row per metric and fake: ``metric, criterion, direction, fake``; ``auroc`` with its 95 % interval over videos
    ``low, high``, oriented by the card's direction, more being better where it has none; ``n`` videos with a value on
    both sides, and the means ``true_mean`` and ``fake_mean`` over them.
    """
    rows = []
    for card in cards:
        if card["level"] != "sample" or card["unavailable"]:
            continue
        values = records.pivot(index="sample", columns="method", values=card["name"])
        sign = _sign(card)
        for fake in _others(records):
            both = values[[TRUTH, fake]].dropna().to_numpy(float)
            true, false = both.T
            seed = seeds.derive(card["name"], fake)
            low, high = auroc_interval(sign * true, sign * false, seed)
            rows.append(
                {
                    **{part: card[part] for part in ("name", "criterion", "direction")},
                    "fake": fake,
                    "auroc": auroc(sign * true, sign * false),
                    "low": low,
                    "high": high,
                    "n": len(both),
                    "true_mean": true.mean() if len(both) else np.nan,
                    "fake_mean": false.mean() if len(both) else np.nan,
                }
            )
    return pd.DataFrame(rows).rename(columns={"name": "metric"})


def compare_sets(store: RunDirectory, records: pd.DataFrame, cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """How well each set metric tells true edits from the videos of each other method, from the features of a run.

    The columns of ``compare``, over the videos that every method has an answer to; ``n`` is their number in a half, the
    means are over halves. Halves overlap, so there is no interval.
    """
    rows = []
    made = records[records["status"] == "ok"]
    shared = made.groupby("sample")["method"].nunique() == records["method"].nunique()
    made = made[made["sample"].map(shared)].sort_values("sample")
    for card in cards:
        if card["level"] != "set" or card["unavailable"]:
            continue
        metric = registry.METRICS.build(card["spec"])
        assert isinstance(metric, SetMetric)
        sides = {
            method: (*kept_features(store, metric, group.to_dict("records")), group["sample"].tolist())
            for method, group in made.groupby("method")
        }
        count = len(sides[TRUTH][0])
        rng = np.random.default_rng(seeds.derive(card["name"]))
        halves = [rng.choice(count, count // 2, replace=False) for _ in range(HALVES)]
        values = {method: _sign(card) * _distances(metric, *side, halves) for method, side in sides.items()}
        for fake in _others(records):
            true, false = values[TRUTH], values[fake]
            rows.append(
                {
                    "metric": card["name"],
                    **{part: card[part] for part in ("criterion", "direction")},
                    "fake": fake,
                    "auroc": float((np.sign(true - false) + 1).mean() / 2),
                    "low": np.nan,
                    "high": np.nan,
                    "n": count // 2,
                    "true_mean": _sign(card) * true.mean(),
                    "fake_mean": _sign(card) * false.mean(),
                }
            )
    return pd.DataFrame(rows)


def _distances(
    metric: SetMetric,
    originals: Sequence[np.ndarray],
    counterfactuals: Sequence[np.ndarray],
    sources: Sequence[str],
    halves: Sequence[np.ndarray],
) -> np.ndarray:
    """The distance between the originals and the counterfactuals of each half, ``[halves]``."""
    sides = originals, counterfactuals, sources
    return np.array([metric.distance(*([side[i] for i in half] for side in sides)) for half in halves])


def _others(records: pd.DataFrame) -> list[str]:
    """The methods of a run that are held against true edits."""
    return [method for method in records["method"].unique() if method != TRUTH]


def _sign(card: Mapping[str, Any]) -> int:
    return -1 if card["direction"] == "lower" else 1
