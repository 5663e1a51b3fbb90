"""A dataset of one recorded video."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.terms import Split
from vcfe_bench.video import decoding, lossless
from vcfe_bench.video.sources import source
from vcfe_bench.video.timeline import Undecodable, nearest


@validated(frozen=True, config={"extra": "forbid"})
class OneVideoParams:
    """The clip to make of a video.

    Attributes:
        path: the file, or a folder with one picture for each frame.
        frames: number of frames, evenly spaced over the whole video.
        size: height and width in pixels.
    """

    path: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=224, ge=1)


class OneVideo(Dataset):
    """One video without a label: the centre square of each frame, in frames evenly spaced over the whole video."""

    Params = OneVideoParams
    params: OneVideoParams

    def __init__(self, params: OneVideoParams | None = None) -> None:
        super().__init__(params)
        p = self.params
        if not p.path:
            raise UsageError("one_video needs a file: one_video[path=clip.mp4]")
        self.shape = (p.frames, p.size, p.size)
        try:
            file = source(Path(p.path))
            timeline = file.timeline()
            if len(timeline.ticks) == 1:
                raise UsageError(f"{p.path} has only one frame; give a video")
            _, _, frames = decoding.clip(file, nearest(timeline, p.frames), p.size)
        except Undecodable as error:
            raise UsageError(f"{p.path} cannot be used: {error}") from None
        except OSError as error:
            raise UsageError(f"cannot read {p.path}: {error.strerror or error}") from None
        for remark in timeline.remarks:
            print(f"{p.path}: {remark}", file=sys.stderr)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
        fps = (p.frames - 1) / timeline.seconds
        self._sample = Sample(Path(p.path).stem, lossless.dequantise(pixels), math.nan, fps)

    def size(self, split: Split) -> int:
        return int(split == "test")

    def sample(self, split: Split, index: int) -> Sample:
        return self._sample
