"""Metrics: of one counterfactual, of a set of counterfactuals, and of pairs of requested and predicted values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.base import Memo, Plugin
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.read_only import read_only
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Criterion


@dataclass(frozen=True)
class Card:
    """What a reader needs to know about a metric to interpret its values.

    Attributes:
        name: column name in the tables.
        question: the question that the metric answers, in one sentence.
        criterion: the property of counterfactuals that it measures.
        direction: whether higher or lower values are better; None if neither is.
        unit: unit of the values.
        range: smallest and largest possible value.
        source: paper or definition.
        failure_modes: situations in which the value misleads.
        version: increased whenever values change; values of different versions are not compared.
        min_samples: smallest number of videos for which the value is meaningful.
        unanswered: value of a video for which the method was asked and has no counterfactual, since it failed, gave up
            or spent its budget; None for a metric that describes the counterfactuals that exist.
        selected: whether the metric is defined only for counterfactuals that meet their goal. Methods are then measured
            on different videos, those that each of them flipped.
        unbiased: whether the expected distance between two sets of the same distribution is 0 at any number of videos.
    """

    name: str
    question: str
    criterion: Criterion
    direction: Literal["higher", "lower"] | None
    unit: str
    range: tuple[float, float]
    source: str
    failure_modes: str
    version: int = 1
    min_samples: int = 1
    unanswered: float | None = None
    selected: bool = False
    unbiased: bool = False


@dataclass(frozen=True)
class Footage(Memo):
    """A video of a sample: the original or an edit of it."""

    dataset: Dataset
    sample: Sample
    video: Tensor


@dataclass(frozen=True)
class Case(Memo):
    """Everything a sample metric may use: an original, its stored counterfactual, and the target's outputs for both.

    In a run, videos, outputs and artefacts are read-only: a metric that changes one in place fails.

    Attributes:
        dataset: the dataset of the sample.
        sample: the original.
        goal: the requested prediction.
        counterfactual: the stored counterfactual, ``[T, 3, H, W]``.
        before: raw outputs ``[K]`` of the target for the original.
        after: raw outputs ``[K]`` of the target for the counterfactual.
        artefacts: the arrays that the method returned in addition to the video.
        target: the run's target; None unless the metric sets ``needs_target``.
        generator: the run's generator; None unless the metric sets ``needs_generator``.
        others: the targets that the metric requests with ``other_targets``, by spec.
    """

    dataset: Dataset
    sample: Sample
    goal: Goal
    counterfactual: Tensor
    before: Tensor
    after: Tensor
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)
    target: Target | None = None
    generator: Generator | None = None
    others: Mapping[str, Target] = field(default_factory=dict)

    @cached_property
    def edited(self) -> Footage:
        """The counterfactual, as footage."""
        return Footage(self.dataset, self.sample, self.counterfactual)

    @property
    def original(self) -> Footage:
        """The original, as footage: one object, and one cache, for all counterfactuals of the sample."""
        return self.sample.cached(
            ("original", self.dataset), lambda: Footage(self.dataset, self.sample, self.sample.video)
        )

    @property
    def ideal(self) -> Footage:
        """The true edit, as footage: one object, and one cache, for all counterfactuals of the sample with this goal.

        Raises:
            NotImplementedError: the dataset cannot render true edits, or not for this goal.
        """
        return self.sample.cached(
            ("ideal", self.dataset, str(self.goal)),
            lambda: Footage(self.dataset, self.sample, self._true_edit()),
        )

    def _true_edit(self) -> Tensor:
        if not isinstance(self.dataset, Renderer):
            raise NotImplementedError(f"dataset '{self.dataset.spec}' cannot render true edits")
        return read_only(self.dataset.true_edit(self.sample, self.goal))


class SampleMetric(Plugin, ABC):
    """A value for each counterfactual; tables show its mean over videos with a bootstrap interval."""

    card: Card
    needs_target: bool = False
    """Whether ``score`` calls ``case.target``."""
    needs_generator: ClassVar[bool] = False
    """Whether ``score`` calls ``case.generator``."""

    def other_targets(self, dataset: Dataset) -> Sequence[str]:
        """Specs of the targets other than the run's that ``score`` calls."""
        return ()

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        """Curves ``[n]`` from which the value was computed, by name; they are stored with it."""
        return {}

    def unavailable(self, dataset: Dataset) -> str | None:
        """The reason why the metric cannot be computed (missing weights, a dataset without an oracle), or None."""
        return None

    @abstractmethod
    def score(self, case: Case) -> float:
        """The value for one counterfactual; NaN if it is undefined. May be called from several threads at once."""


Distance = Callable[[Sequence[np.ndarray], Sequence[np.ndarray], Sequence[str]], float]
"""Maps features of originals and of counterfactuals, and the name of each pair's source video, to a distance."""


class SetMetric(Plugin, ABC):
    """A distance between two sets of videos, computed from stored features of each video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """The reason why the metric cannot be computed (missing weights, clips that are too short), or None."""
        return None

    @property
    @abstractmethod
    def network(self) -> str:
        """Name of the feature network and its preprocessing; metrics with the same name share the features."""

    def features_of(self, footage: Footage) -> np.ndarray:
        """Features ``[n, D]`` of footage. Override it instead of ``features`` if the video alone is not enough."""
        return self.features(footage.video)

    def features(self, video: Tensor) -> np.ndarray:
        """Features ``[n, D]`` of one video ``[T, 3, H, W]`` (n = 1, or one row per frame).

        May be called from several threads at once.

        Raises:
            NotImplementedError: the metric implements ``features_of``.
        """
        raise NotImplementedError

    @abstractmethod
    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        """The distance between two sets, each a sequence of per-video features.

        ``counterfactuals[i]`` was generated from ``originals[i]``, and ``sources[i]`` is the id of that video; several
        counterfactuals may have the same source.
        """

    def distance_among(self, sources: Sequence[str]) -> Distance:
        """``distance`` for the jackknife, which leaves out some of ``sources`` in turn.

        Override it if ``distance`` divides the source videos at random: the ones that remain have to be divided as they
        are with all of them, or the interval is too wide.
        """
        return self.distance


class PairMetric(Plugin, ABC):
    """Agreement of requested and predicted values over a whole set, which is not a mean of values per video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """The reason why the metric cannot be computed (labels are classes), or None."""
        return None

    @abstractmethod
    def value(self, requested: np.ndarray, reached: np.ndarray) -> float:
        """The value for goals that request ``requested [n]`` where the target predicts ``reached [n]``, n ≥ 1.

        Both are float64, finite and in the target's unit. NaN if the metric is undefined.
        """


Metric = SampleMetric | SetMetric | PairMetric
