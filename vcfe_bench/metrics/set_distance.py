"""A metric of two sets of videos = a distance between sets of feature vectors × a feature network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.metrics.feature_sets import CroppedI3DClips, FeatureNetwork, I3DClips
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, SetMetric

Features = Sequence[np.ndarray]
"""Features of a set: one array ``[n, D]`` per video."""


class SetDistance(SetMetric):
    """A distance on the features of one network.

    A subclass for a distance implements ``distance`` and ``describe``; its subclasses choose ``extractor``.
    """

    extractor: FeatureNetwork

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = self.describe(self.extractor)

    @classmethod
    @abstractmethod
    def describe(cls, network: FeatureNetwork) -> Card:
        """The card of this distance on the features of ``network``."""

    @property
    def network(self) -> str:
        return self.extractor.identity

    def unavailable(self, dataset: Dataset) -> str | None:
        return self.extractor.unavailable(dataset)

    def features(self, video: Tensor) -> np.ndarray:
        return self.extractor.features(video)


@validated(frozen=True, config={"extra": "forbid"})
class I3DParams:
    """``crop``: keep the aspect ratio and use the central square of the frames; the metric then has its own name."""

    crop: bool = False


class I3DDistance(SetDistance):
    """A distance on the logits of I3D, of whole frames or of their central square."""

    Params = I3DParams
    extractor = I3DClips()

    def __init__(self, params: I3DParams | None = None) -> None:
        if params is not None and params.crop:
            self.extractor = CroppedI3DClips()
        super().__init__(params)
