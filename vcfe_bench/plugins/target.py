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

    ``forward`` takes ``[B, T, 3, H, W]`` in [0, 1] and returns raw outputs ``[B, K]`` (logits, or K = 1 for a value),
    differentiable with respect to the video. Normalisation and the choice of frames happen inside. Call the target
    itself: it takes a video to its own device and brings the output back.
    """

    classes: tuple[str, ...] = ()
    clip: tuple[int, int, int] | None = None
    """``(T, H, W)`` of the videos that the target is made for; None where any will do."""

    def __init__(self, params: Any = None) -> None:
        nn.Module.__init__(self)
        Plugin.__init__(self, params)

    @abstractmethod
    def forward(self, video: Tensor) -> Tensor: ...

    def __call__(self, video: Tensor) -> Tensor:
        """``forward`` on the target's device; the output lies where ``video`` does."""
        return super().__call__(video.to(self.device)).to(video.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the weights and of the preprocessing, part of every record's identity."""


@dataclass(frozen=True)
class Features:
    """What a target computes of a batch of videos on its way to the output.

    Attributes:
        scales: mid-level features ``[B, d, t, h, w]``, the finest grid first; all have the same t. Cell (i, j) stands
            for the pixels of rows ``i H / h`` to ``(i + 1) H / h`` and of columns ``j W / w`` to ``(j + 1) W / w``.
        steps: which of the t steps stands for each frame of the video, ``[T]``.
        output: raw outputs ``[B, K]``, those of ``forward``.
    """

    scales: tuple[Tensor, ...]
    steps: Tensor
    output: Tensor

    def to(self, device: torch.device) -> Features:
        """The same on another device."""
        return Features(tuple(scale.to(device) for scale in self.scales), self.steps.to(device), self.output.to(device))


class FeatureTarget(Target):
    """A target that shows its mid-level features to methods that explain by place."""

    @abstractmethod
    def features(self, video: Tensor) -> Features:
        """Features and output of ``[B, T, 3, H, W]`` in [0, 1], differentiable with respect to the video."""

    def shown(self, video: Tensor) -> Features:
        """``features`` on the target's device; they lie where ``video`` does."""
        return self.features(video.to(self.device)).to(video.device)
