"""Base class of pretrained targets: evenly spaced frames, the network's own preprocessing, a checked output."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torchvision.transforms.v2 import functional as transforms

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.core.text_files import read_text
from vcfe_bench.models.accepted_shapes import accepted
from vcfe_bench.plugins.target import Target

Clip = tuple[int, int, int]
FAILURES = (RuntimeError, TypeError, ValueError, AssertionError, IndexError, KeyError, AttributeError)
"""What networks raise for an input that they do not accept."""


def spread(video: Tensor, frames: int) -> Tensor:
    """``frames`` evenly spaced frames of ``[B, T, 3, H, W]``, first to last; repeated where T is smaller."""
    return video.index_select(1, torch.linspace(0, video.shape[1] - 1, frames, device=video.device).round().long())


def centred(video: Tensor, side: int) -> Tensor:
    """``[B, T, 3, side, side]``: short side scaled to ``side`` pixels (bilinear, antialiased), then a centre crop.

    Pixels outside the crop have no influence and get no gradient.
    """
    return transforms.center_crop(transforms.resize(video, [side], antialias=True), [side, side])


def normalised(video: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """``[B, T, 3, H, W]`` in [0, 1] as ``[B, 3, T, H, W]``, minus ``mean`` and divided by ``std`` per channel."""
    return transforms.normalize(video, list(mean), list(std)).transpose(1, 2)


def read_classes(path: str) -> tuple[str, ...]:
    """The names in a text file, one per line in the order of the outputs; blank lines are ignored.

    Raises:
        UsageError: no such file, no names, or a duplicate name.
    """
    try:
        names = [line.strip() for line in read_text(Path(path)).splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the class names in {path}: {error}") from None
    classes = tuple(filter(None, names))
    if not classes:
        raise UsageError(f"{path} contains no class names: write one per line")
    duplicate = next((name for name in classes if classes.count(name) > 1), None)
    if duplicate is not None:
        raise UsageError(f"{path} has the class '{duplicate}' twice: every output needs its own name")
    return classes


class ClipTarget(Target):
    """A network that reads one clip of ``clip`` = (T, H, W), taken from videos of any length and frame size.

    ``settings`` is everything apart from the weights that determines the output; it is part of the fingerprint.
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
        """The network's input for ``[B, T, 3, H, W]`` in [0, 1], where T is that of the clip; differentiable."""

    def predict(self, clip: Tensor) -> Tensor:
        """Raw outputs ``[B, K]`` for the result of ``preprocess``."""
        return self.network(clip)

    def forward(self, video: Tensor) -> Tensor:
        clip = self.preprocess(spread(video, self.clip[0]))
        try:
            output = self.predict(clip)
        except FAILURES as error:
            if isinstance(error, torch.OutOfMemoryError) or is_fake(clip):
                raise
            raise UsageError(
                f"target '{self.spec}' fails on {list(clip.shape)} ([B, C, T, H, W]): {describe(error)[:200]}; "
                f"{accepted(self.network, clip)}"
            ) from error
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(video):
            shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(f"target '{self.spec}' returned {shape} for {len(video)} videos: it has to return [B, K]")
        if self.classes and output.shape[1] != len(self.classes):
            raise UsageError(f"target '{self.spec}' has {output.shape[1]} outputs but {len(self.classes)} class names")
        return output

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.settings.encode()).hexdigest()
        return f"{weights.fingerprint(self.network)}-{digest[:16]}"
