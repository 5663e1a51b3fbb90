"""Targets: the classifiers and regressors to be explained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vcfe_bench.plugins.base import Plugin


class Target(Plugin, nn.Module, ABC):
    """The classifier or regressor to be explained; frozen and in evaluation mode.

    ``forward`` takes ``[B, T, 3, H, W]`` in [0, 1] and returns raw outputs ``[B, K]`` (logits, or K = 1 for a value)
    that are differentiable with respect to the video. Normalisation and frame sampling happen inside. Callers call the
    target itself, which moves the video to the target's device and the output back.
    """

    classes: tuple[str, ...] = ()
    """Class names in the order of the outputs; empty for a regressor, or if they are not known."""
    clip: tuple[int, int, int] | None = None
    """``(T, H, W)`` of the videos the target is made for; None if it takes any."""
    fps: float | None = None
    """Frames per second of the clips that it was trained on; None if that is not known."""

    def __init__(self, params: Any = None) -> None:
        nn.Module.__init__(self)
        Plugin.__init__(self, params)

    @abstractmethod
    def forward(self, video: Tensor) -> Tensor:
        """Raw outputs ``[B, K]`` for ``[B, T, 3, H, W]`` in [0, 1]."""

    def __call__(self, video: Tensor) -> Tensor:
        """``forward`` on the target's device; the output is returned on the device of ``video``."""
        return super().__call__(video.to(self.device)).to(video.device)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of weights and preprocessing, part of the identity of every record."""


@dataclass(frozen=True)
class Features:
    """Intermediate features and output of a target for a batch of videos.

    Attributes:
        scales: mid-level features ``[B, d, t, h, w]``, finest grid first; t is the same for all. Cell (i, j) covers the
            pixel rows ``i H / h`` to ``(i + 1) H / h`` and the columns ``j W / w`` to ``(j + 1) W / w``.
        steps: for each frame of the video, the index of the step among the t that represents it, ``[T]``.
        output: raw outputs ``[B, K]``, those of ``forward``.
    """

    scales: tuple[Tensor, ...]
    steps: Tensor
    output: Tensor

    def to(self, device: torch.device) -> Features:
        """A copy on another device."""
        return Features(tuple(scale.to(device) for scale in self.scales), self.steps.to(device), self.output.to(device))


class FeatureTarget(Target):
    """A target that exposes mid-level features, for methods that explain by location."""

    @abstractmethod
    def features(self, video: Tensor) -> Features:
        """Features and output for ``[B, T, 3, H, W]`` in [0, 1], differentiable with respect to the video."""

    def extract(self, video: Tensor) -> Features:
        """``features`` on the target's device; the result is returned on the device of ``video``."""
        return self.features(video.to(self.device)).to(video.device)
