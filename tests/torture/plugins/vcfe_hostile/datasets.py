"""A dataset that misbehaves at one index."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from vcfe_toys.dataset import Lights, LightsParams

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Sample, Split
from vcfe_bench.runs.video_order import video_order

from . import ends


@validated(frozen=True, config={"extra": "forbid"})
class HostileLightsParams(LightsParams):
    """``fault``: what goes wrong with the video at the place ``at`` in the order of runs."""

    fault: str = ""
    at: int = 1


def _raised(error: BaseException) -> Callable[[Sample], NoReturn]:
    def fault(sample: Sample) -> NoReturn:
        raise error

    return fault


def _spoiled(sample: Sample, value: float) -> Sample:
    video = sample.video.clone()
    video[0, 0, 0, 0] = value
    return replace(sample, video=video)


SAMPLES: dict[str, Callable[[Sample], Any]] = {
    "raise": _raised(OSError("the disk went away")),
    "raise_lines": _raised(ValueError("a\nb\x1b[31m")),
    "exit": lambda sample: sys.exit(0),
    "no_value": lambda sample: None,
    "tensor": lambda sample: sample.video,
    "numpy": lambda sample: replace(sample, video=sample.video.numpy()),
    "uint8": lambda sample: replace(sample, video=(255 * sample.video).to(torch.uint8)),
    "double": lambda sample: replace(sample, video=sample.video.double()),
    "scale": lambda sample: replace(sample, video=255 * sample.video),
    "negative": lambda sample: _spoiled(sample, -1.0),
    "nan": lambda sample: _spoiled(sample, float("nan")),
    "inf": lambda sample: _spoiled(sample, float("inf")),
    "off_grid": lambda sample: replace(sample, video=(sample.video + 0.0007).clamp(0, 1)),
    "frames": lambda sample: replace(sample, video=sample.video[:3]),
    "size": lambda sample: replace(sample, video=sample.video[..., :8]),
    "dims": lambda sample: replace(sample, video=sample.video[0]),
    "same_id": lambda sample: replace(sample, id="light-0"),
    "id_none": lambda sample: replace(sample, id=None),
    "id_empty": lambda sample: replace(sample, id=""),
    "id_number": lambda sample: replace(sample, id=3),
    "fps_0": lambda sample: replace(sample, fps=0.0),
    "fps_negative": lambda sample: replace(sample, fps=-5.0),
    "fps_nan": lambda sample: replace(sample, fps=float("nan")),
    "fps_huge": lambda sample: replace(sample, fps=1e9),
    "fps_none": lambda sample: replace(sample, fps=None),
    "label_17": lambda sample: replace(sample, label=17),
    "label_negative": lambda sample: replace(sample, label=-1),
    "label_half": lambda sample: replace(sample, label=0.5),
    "label_none": lambda sample: replace(sample, label=None),
    "label_text": lambda sample: replace(sample, label="left"),
    "label_numpy": lambda sample: replace(sample, label=np.int64(sample.label)),
}
"""What the dataset returns instead of a sample; the last is a fault that is mended."""
APART: dict[str, Callable[[], Any]] = {
    **{f"sample_{name}": end for name, end in ends.ENDS.items()},
    **{f"size_{name}": end for name, end in ends.ENDS.items()},
    **{f"render_{name}": end for name, end in ends.ENDS.items()},
}
"""What the dataset does when it is asked for a sample, its size, or a true edit."""
SIZES: dict[str, Any] = {"size_negative": -3, "size_half": 4.5, "size_none": None, "size_text": "many"}


class HostileLights(Lights):
    """Lights, with a fault."""

    Params = HostileLightsParams
    params: HostileLightsParams

    def size(self, split: Split) -> int:
        if self.params.fault == "size_raise":
            raise RuntimeError("uncountable")
        self._end("size")
        return SIZES.get(self.params.fault, super().size(split))

    def sample(self, split: Split, index: int) -> Sample:
        sample = super().sample(split, index)
        if self.params.fault not in {**SAMPLES, **APART} or video_order(self, split)[self.params.at] != index:
            return sample
        self._end("sample")
        fault = SAMPLES.get(self.params.fault)
        return fault(sample) if fault else sample

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        self._end("render")
        return super().true_edit(sample, goal)

    def _end(self, what: str) -> None:
        if self.params.fault.startswith(what) and self.params.fault in APART:
            APART[self.params.fault]()
