"""Lights: noise in which one third of the frame is lit; the class is which third. Dimmer: its label is how bright."""

from __future__ import annotations

from functools import cache

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import Dataset, Sample, Split, Values
from vcfe_bench.runs.video_order import video_order


@validated(frozen=True, config={"extra": "forbid"})
class LightsParams:
    """``frames`` per video, ``videos`` in the test split."""

    frames: int = Field(default=5, ge=1)
    videos: int = 40


class Lights(Dataset):
    """One lit third. The k-th video in the order of runs is called light-k and has label k % 3."""

    spec = "toy_lights"
    Params = LightsParams
    params: LightsParams
    classes = ("left", "middle", "right")
    target = "toy_conv"
    generator = "toy_blocks"

    def __init__(self, params: LightsParams | None = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, 12, 12)

    def size(self, split: Split) -> int:
        return self.params.videos

    def _render(self, index: int, label: int) -> Tensor:
        noise = torch.randint(0, 100, (self.params.frames, 3, 12, 12), generator=torch.Generator().manual_seed(index))
        noise[..., 4 * label : 4 * label + 4] += 40
        return noise.float() / 255

    def sample(self, split: Split, index: int) -> Sample:
        rank = self._ranks(split)[index]
        return Sample(f"light-{rank}", self._render(rank, rank % 3), rank % 3, 12.5, {"index": rank})

    def _ranks(self, split: Split) -> dict[int, int]:
        return {index: rank for rank, index in enumerate(_order(self.params.videos, split))}

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        return int(video.mean(dim=(0, 1, 2)).reshape(3, 4).mean(dim=1).argmax())

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        assert isinstance(goal, ClassGoal)
        return self._render(sample.attributes["index"], goal.index)


@cache
def _order(videos: int, split: Split) -> list[int]:
    return video_order(Lights(LightsParams(videos=videos)), split)


class Dimmer(Dataset):
    """Grey videos; the label is their brightness in percent."""

    values = Values(low=10, high=90, change=20, tolerance=5, unit="percent")
    shape = (5, 12, 12)
    target = "toy_meter"

    def size(self, split: Split) -> int:
        return 40

    def sample(self, split: Split, index: int) -> Sample:
        label = 10 + 7 * index % 80
        video = torch.full((5, 3, 12, 12), round(255 * label / 100) / 255)
        return Sample(f"grey-{index}", video, float(label), 12.5)
