"""A target that misbehaves, from the start or for a dimmed video only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from vcfe_toys.models import Conv, ConvParams


@validated(frozen=True, config={"extra": "forbid"})
class HostileConvParams(ConvParams):
    """``fault``: what goes wrong; with ``late`` only where the video has a third more light than usual."""

    fault: str = ""
    late: bool = False


def _raise(output: Tensor) -> NoReturn:
    raise RuntimeError("no prediction")


OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "raise": _raise,
    "exit": lambda output: sys.exit(0),
    "nan": lambda output: output * float("nan"),
    "inf": lambda output: output + float("inf"),
    "wide": lambda output: torch.cat([output, output], 1),
    "one": lambda output: output[:, :1],
    "no_batch": lambda output: output[0],
    "batch": lambda output: output.repeat(2, 1),
    "no_value": lambda output: None,
    "tuple": lambda output: (output,),
    "whole": lambda output: output.round().long(),
    "empty": lambda output: output[:, :0],
    "complex": lambda output: output.to(torch.complex64),
}


class HostileConv(Conv):
    """The convolution, with a fault."""

    Params = HostileConvParams
    params: HostileConvParams

    def forward(self, video: Tensor) -> Any:
        output = super().forward(video)
        fault = OUTPUTS.get(self.params.fault)
        if fault is None or (self.params.late and float(video.min()) < 0.09):
            return output
        return fault(output)
