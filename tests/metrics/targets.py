"""Targets with two classes, each of which depends on one property; class 1 is the goal of the tests."""

import torch
from torch import Tensor

from vcfe_bench.interfaces import Target

SURE = 20.0


class _Reader(Target):
    classes = ("no", "yes")

    def evidence(self, video: Tensor) -> Tensor:
        """``[B]``, positive for class 1."""
        raise NotImplementedError

    def forward(self, video: Tensor) -> Tensor:
        logit = SURE * self.evidence(video)
        return torch.stack([-logit, logit], dim=1)

    @property
    def fingerprint(self) -> str:
        return type(self).__name__


class Trend(_Reader):
    """Whether every frame is brighter than the one before."""

    def evidence(self, video: Tensor) -> Tensor:
        return (video.mean(dim=(2, 3, 4)).diff(dim=1) > 0).all(dim=1).float() - 0.5


class Bright(_Reader):
    """Whether the video is bright, independent of the order of frames."""

    def evidence(self, video: Tensor) -> Tensor:
        return video.mean(dim=(1, 2, 3, 4)) - 0.5


class Columns(_Reader):
    """Whether even columns are brighter than odd ones."""

    def evidence(self, video: Tensor) -> Tensor:
        return video[..., 0::2].mean(dim=(1, 2, 3, 4)) - video[..., 1::2].mean(dim=(1, 2, 3, 4)) - 0.25


class OnGrid(_Reader):
    """Whether all values are multiples of 1/255."""

    def evidence(self, video: Tensor) -> Tensor:
        return ((255 * video - (255 * video).round()).abs().amax(dim=(1, 2, 3, 4)) < 1e-3).float() - 0.5
