"""Metrics: of one counterfactual, of a set, and of pairs of requested and reached values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.base import Plugin, Remembers
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target

Criterion = Literal["validity", "proximity", "actionability", "realism", "spatiotemporal consistency", "cost"]
CRITERIA: tuple[str, ...] = get_args(Criterion)


@dataclass(frozen=True)
class Card:
    """What a reader has to know about a metric before trusting its number.

    ``direction`` is None where neither more nor less is better. ``version`` is bumped whenever numbers change.
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


@dataclass(frozen=True)
class Footage(Remembers):
    """A video of what ``sample`` shows, as it is or edited."""

    dataset: Dataset
    sample: Sample
    video: Tensor


@dataclass(frozen=True)
class Case(Remembers):
    """Everything a sample metric may look at: an original, its stored counterfactual, and what the target said of both.

    ``before`` and ``after`` are raw outputs ``[K]`` of the target; ``artefacts`` are what the method gave beside the
    video. ``target`` and ``generator`` are there for metrics that declare ``needs_target`` and ``needs_generator``,
    ``others`` holds the targets that a metric names in ``other_targets``, by spec.
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
        """The counterfactual."""
        return Footage(self.dataset, self.sample, self.counterfactual)

    @property
    def original(self) -> Footage:
        """The sample's own video, the same object for all counterfactuals of the sample."""
        return self.sample.once(
            ("original", self.dataset), lambda: Footage(self.dataset, self.sample, self.sample.video)
        )

    @property
    def ideal(self) -> Footage:
        """The true edit, the same object for all counterfactuals of the sample with this goal.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        return self.sample.once(
            ("ideal", self.dataset, str(self.goal)),
            lambda: Footage(self.dataset, self.sample, self._true_edit()),
        )

    def _true_edit(self) -> Tensor:
        if not isinstance(self.dataset, Renderer):
            raise NotImplementedError(f"dataset '{self.dataset.spec}' cannot render true edits")
        return self.dataset.true_edit(self.sample, self.goal)


class SampleMetric(Plugin, ABC):
    """A number per counterfactual, averaged over videos with a bootstrap interval."""

    card: Card
    needs_target: ClassVar[bool] = False
    """Whether ``score`` asks ``case.target`` again."""
    needs_generator: ClassVar[bool] = False
    """Whether ``score`` asks ``case.generator``."""

    def other_targets(self, dataset: Dataset) -> Sequence[str]:
        """Specs of the targets beside the run's that ``score`` asks."""
        return ()

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        """The curves ``[n]`` behind the value, by name, to be kept beside it."""
        return {}

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (missing weights, no oracle), or None."""
        return None

    @abstractmethod
    def score(self, case: Case) -> float:
        """The value for one counterfactual; NaN where it is undefined. May be called from several threads at once."""


class SetMetric(Plugin, ABC):
    """A distance between two sets of videos, computed from features kept per video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (missing weights, clip too short), or None."""
        return None

    @property
    @abstractmethod
    def network(self) -> str:
        """Name of the feature network and its preprocessing; metrics of one network share one pass."""

    def features_of(self, footage: Footage) -> np.ndarray:
        """Features ``[n, D]`` of a video of a dataset: ``features``, unless the metric needs to know what is filmed."""
        return self.features(footage.video)

    def features(self, video: Tensor) -> np.ndarray:
        """Features ``[n, D]`` of one ``[T, 3, H, W]`` video (n = 1, or one row per frame).

        May be called from several threads at once.

        Raises:
            NotImplementedError: the metric needs to know what is filmed.
        """
        raise NotImplementedError

    @abstractmethod
    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        """The distance between two sets, each a sequence of per-video features.

        ``counterfactuals[i]`` was made from ``originals[i]``, and ``sources[i]`` names that video: several
        counterfactuals of one video have the same source.
        """


class PairMetric(Plugin, ABC):
    """How well a regressor's values follow those that were asked, over a whole set: no mean of numbers per video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (labels are classes), or None."""
        return None

    @abstractmethod
    def value(self, asked: np.ndarray, reached: np.ndarray) -> float:
        """The value for goals that asked for ``asked [n]`` where the target says ``reached [n]``, n ≥ 1.

        Both are float64, finite and in the target's unit. NaN where the metric is undefined.
        """


Metric = SampleMetric | SetMetric | PairMetric
