"""I3D as a target: a full-size classifier of real videos that runs on a CPU."""

from __future__ import annotations

from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from torchvision.models.video import R3D_18_Weights

from vcfe_bench.models.clip_target import ClipTarget, centred, normalised
from vcfe_bench.models.i3d import MIN_FRAMES, i3d

SIDE = 224
HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation that map [0, 1] to the network's [-1, 1]."""


@validated(frozen=True, config={"extra": "forbid"})
class I3DParams:
    """``frames``: number read per video; time and memory grow with it. The network was trained on 64 at 25 fps."""

    frames: int = Field(default=16, ge=MIN_FRAMES)


class I3DKinetics400(ClipTarget):
    """I3D, pretrained on Kinetics-400 (arXiv 1705.07750), with the weights that FVD uses.

    The weights come without class names: the 400 classes are in alphabetical order, as in torchvision's lists.
    """

    Params = I3DParams
    params: I3DParams

    def __init__(self, params: I3DParams | None = None) -> None:
        params = params or I3DParams()
        classes = tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])
        super().__init__(params, i3d(), (params.frames, SIDE, SIDE), classes)

    def preprocess(self, video: Tensor) -> Tensor:
        return normalised(centred(video, SIDE), HALF, HALF)
