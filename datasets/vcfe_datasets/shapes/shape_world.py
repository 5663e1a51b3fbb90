"""What the shape datasets have in common: form, number of videos, splits, and draws that never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Dataset, Split

FPS = 16.0
T = TypeVar("T")


class Draws:
    """Random draws for scene ``index`` of a seed, from Philox's raw stream, which NumPy guarantees not to change."""

    def __init__(self, seed: int, index: int) -> None:
        self.stream = np.random.Philox(key=[seed, index])

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return (int(self.stream.random_raw()) >> 11) * 2.0**-53

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``, all equally likely."""
        return options[int(self.uniform() * len(options))]


@validated(frozen=True, config={"extra": "forbid"})
class ShapeParams:
    """``frames`` and ``size`` (pixels) give the form; ``seed`` gives other scenes."""

    frames: int = Field(default=17, ge=9)
    size: int = Field(default=64, ge=32)
    seed: int = Field(default=0, ge=0)


class ShapeWorld(Dataset):
    """``count`` videos rendered from scenes, in two splits that are both balanced.

    With K classes, video k has label ``k % K`` and belongs to the test split when ``k // K % 5 == 4``.
    """

    Params: ClassVar[type] = ShapeParams
    params: ShapeParams
    count: int
    """Number of videos in both splits, a multiple of 5 K."""

    def __init__(self, params: ShapeParams | None = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)

    def size(self, split: Split) -> int:
        return self.count // 5 if split == "test" else self.count * 4 // 5

    def number(self, split: Split, index: int) -> int:
        """Which of all videos stands at ``index`` of the split."""
        if not 0 <= index < self.size(split):
            raise IndexError(f"{split} has {self.size(split)} videos, no index {index}")
        group, label = divmod(index, len(self.classes))
        group = 5 * group + 4 if split == "test" else group // 4 * 5 + group % 4
        return len(self.classes) * group + label
