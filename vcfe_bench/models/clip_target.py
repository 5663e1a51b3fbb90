"""What targets from elsewhere share: frames spread over the video, own preprocessing, a checked output."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.target import Target

Clip = tuple[int, int, int]


def spread(video: Tensor, frames: int) -> Tensor:
    """``frames`` frames of ``[B, T, 3, H, W]``, evenly spaced from the first to the last; repeated where T is less."""
    return video.index_select(1, torch.linspace(0, video.shape[1] - 1, frames, device=video.device).round().long())


def centred(video: Tensor, size: int) -> Tensor:
    """``[B, T, 3, size, size]``: the short side scaled to ``size`` (bilinear, smoothed), then the square in the middle.

    Pixels outside the square have no influence and get no gradient.
    """
    return transforms.center_crop(transforms.resize(video, [size], antialias=True), [size, size])


def normalised(video: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """``[B, 3, T, H, W]`` of ``[B, T, 3, H, W]`` in [0, 1]: less ``mean``, divided by ``std``, channel by channel."""
    return transforms.normalize(video, list(mean), list(std)).transpose(1, 2)


def read_classes(path: str) -> tuple[str, ...]:
    """The names in a text file, one per line in the order of the outputs; blank lines are dropped.

    Raises:
        UsageError: no such file, no names, or a name that stands there twice.
    """
    try:
        names = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the class names in {path}: {error}") from None
    found = tuple(filter(None, names))
    if not found:
        raise UsageError(f"{path} holds no class names: write one per line")
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path} has the class '{twice}' twice: every output needs a name of its own")
    return found


class ClipTarget(Target):
    """A network that reads one clip of ``clip`` = (T, H, W), taken from videos of any length and size.

    ``settings`` is all beside the weights that decides what the target says, part of its fingerprint.
    """

    clip: Clip

    def __init__(
        self, params: Any, network: nn.Module, clip: Clip, classes: tuple[str, ...], settings: object = None
    ) -> None:
        super().__init__(params)
        self.network, self.clip, self.classes = network, clip, classes
        self.settings = repr((clip, classes, settings))
        self.float().eval().requires_grad_(False)

    @abstractmethod
    def preprocess(self, video: Tensor) -> Tensor:
        """What the network reads of ``[B, T, 3, H, W]`` in [0, 1], where T is the clip's; differentiable."""

    def decide(self, clip: Tensor) -> Tensor:
        """Raw outputs ``[B, K]`` of what ``preprocess`` gave."""
        return self.network(clip)

    def forward(self, video: Tensor) -> Tensor:
        output = self.decide(self.preprocess(spread(video, self.clip[0])))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(video):
            shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(f"target '{self.spec}' gave {shape} for {len(video)} videos: make it give [B, K]")
        if self.classes and output.shape[1] != len(self.classes):
            raise UsageError(f"target '{self.spec}' has {output.shape[1]} outputs, but {len(self.classes)} class names")
        return output

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.settings.encode()).hexdigest()
        return f"{weights.fingerprint(self.network)}-{digest[:16]}"
