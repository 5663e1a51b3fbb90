"""Common base of the shape datasets: clip format, number of videos, splits, and reproducible random draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Dataset, Split, Target

FPS = 16.0
FIRST_TEST = 1_000_000
"""Number of the first test video; scenes and directions of other splits are drawn from streams with lower numbers."""
T = TypeVar("T")


class Draws:
    """Random draws for scene ``index`` of a seed, from the raw Philox stream, which NumPy guarantees to keep stable."""

    def __init__(self, seed: int, index: int) -> None:
        self.stream = np.random.Philox(key=[seed, index])

    def uniform(self) -> float:
        """A uniform number in [0, 1)."""
        return (int(self.stream.random_raw()) >> 11) * 2.0**-53

    def uniforms(self, count: int) -> np.ndarray:
        """``count`` numbers in [0, 1), those of as many calls of ``uniform``."""
        return (self.stream.random_raw(count) >> np.uint64(11)) * 2.0**-53

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``, with equal probability."""
        return options[int(self.uniform() * len(options))]


@validated(frozen=True, config={"extra": "forbid"})
class ShapeParams:
    """``frames`` and ``size`` (pixels) set the clip format; another ``seed`` yields other scenes."""

    frames: int = Field(default=17, ge=9)
    size: int = Field(default=64, ge=32)
    seed: int = Field(default=0, ge=0)


class ShapeWorld(Dataset):
    """Videos rendered from scenes, in three class-balanced splits.

    With K classes, video k has label ``k % K``. Of the first ``count`` videos, those with ``k // K % 5 == 4`` are for
    validation and the others for training. The test videos are ``count // 5`` more, from number ``FIRST_TEST`` on.
    """

    Params: ClassVar[type] = ShapeParams
    params: ShapeParams
    count: int
    """Number of training and validation videos together, a multiple of 5 K."""

    def __init__(self, params: ShapeParams | None = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)

    def size(self, split: Split) -> int:
        return self.count * 4 // 5 if split == "train" else self.count // 5

    def labels_of(self, split: Split) -> list[int]:
        """Labels of all videos of the split, in order."""
        return [index % len(self.classes) for index in range(self.size(split))]

    def number(self, split: Split, index: int) -> int:
        """Number of the video at ``index`` of the split, among all videos.

        Raises:
            IndexError: the split has no such index.
        """
        if not 0 <= index < self.size(split):
            raise IndexError(f"{split} has {self.size(split)} videos, no index {index}")
        if split == "test":
            return FIRST_TEST + index
        group, label = divmod(index, len(self.classes))
        group = 5 * group + 4 if split == "validation" else group // 4 * 5 + group % 4
        return len(self.classes) * group + label


@torch.no_grad()
def reliance(
    unlinked: ShapeWorld, target: Target, limit: int, split: Split, attribute: str, partner: Sequence[int]
) -> tuple[float, float]:
    """What a target relies on, measured on ``limit`` videos in which the shortcut is independent of the label.

    Returns the share of videos predicted as their label, and the share predicted as the class whose ``partner`` is the
    direction that the sample has under ``attribute``.
    """
    right = followed = 0
    for first in range(0, limit, 32):
        samples = [unlinked.sample(split, index) for index in range(first, min(first + 32, limit))]
        predicted = target(torch.stack([s.video for s in samples])).argmax(1).tolist()
        right += sum(p == s.label for p, s in zip(predicted, samples, strict=True))
        followed += sum(partner[p] == s.attributes[attribute] for p, s in zip(predicted, samples, strict=True))
    return right / limit, followed / limit
