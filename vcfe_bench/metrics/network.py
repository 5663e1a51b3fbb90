"""What metrics that use a frozen network have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from vcfe_bench.core.weights import WeightsError
from vcfe_bench.plugins.dataset import Dataset

BATCH = 32
"""Frames in one forward pass."""


class FrozenNetwork(ABC):
    """A frozen network, with the smallest videos that it accepts."""

    min_side: ClassVar[int] = 1
    min_frames: ClassVar[int] = 1

    @abstractmethod
    def build(self) -> nn.Module:
        """The network, the same object on every call."""

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the network cannot be used on a dataset (videos too small or too short, weights missing), or None."""
        frames, *sides = dataset.shape
        if min(sides) < self.min_side:
            return f"frames need sides of {self.min_side} pixels or more, the dataset's have {min(sides)}"
        if frames < self.min_frames:
            return f"needs {self.min_frames} frames or more, the dataset's videos have {frames}"
        try:
            self.build()
        except WeightsError as error:
            return str(error)
        return None
