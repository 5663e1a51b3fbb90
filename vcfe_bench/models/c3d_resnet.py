"""C3D-ResNet, the target of Kanehira et al. (CVPR 2019, section 4.1): nine convolutions without temporal pooling.

The paper specifies nine convolutional layers, one to three fully connected ones (Table 4), ReLU after all but the last,
and 2-D max pooling so that T = T'; the outputs of the last two convolutions are h(x), the fully connected layers f.
What it leaves open is chosen as follows:

- *Layers.* As in the ResNets with 3-D convolutions that it cites (Tran et al. 2017, Hara et al. 2018): a stem of 3×7×7,
  then four blocks of two 3×3×3 convolutions, batch normalisation, and the average over time and space before f.
  Shortcuts have no convolution, which keeps the count at nine: they are zero in new channels (He et al. 2016,
  option A). Hidden layers of f are as wide as the last block.
- *Pooling.* It halves height and width between the two convolutions of a block. So the second to last convolution
  has a grid twice as fine as the last one: the two scales of section 3.6.
- *Sizes.* ``c3d_resnet`` has the widths and the pooling of ResNet-18: 112×112 videos end in 7×7 cells. ``small`` is for
  64×64 videos on a CPU and ends in 8×8 cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.models.trained_target import FileTarget, NetworkConfig
from vcfe_bench.plugins.target import Features


@dataclass(frozen=True)
class C3DSize:
    """``channels`` of each block (the stem has those of the first); ``pooled``: which blocks halve height and width."""

    channels: tuple[int, int, int, int]
    pooled: tuple[bool, bool, bool, bool]


SIZES = {
    "c3d_resnet": C3DSize((64, 128, 256, 512), (False, True, True, True)),
    "small": C3DSize((12, 16, 24, 32), (True, False, False, True)),
}


def convolution(before: int, after: int) -> nn.Sequential:
    """A 3×3×3 convolution with batch normalisation, without the ReLU."""
    return nn.Sequential(nn.Conv3d(before, after, 3, padding=1, bias=False), nn.BatchNorm3d(after))


class Block(nn.Module):
    """Two convolutions with a shortcut around them: ``[B, before, T, H, W]`` to ``[B, after, T, H', W']``."""

    def __init__(self, before: int, after: int, pooled: bool) -> None:
        super().__init__()
        self.first, self.second = convolution(before, after), convolution(after, after)
        self.added = after - before
        self.pool = nn.MaxPool3d((1, 2, 2)) if pooled else nn.Identity()

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output of the first convolution before pooling, and that of the block."""
        first = F.relu(self.first(x))
        shortcut = F.pad(self.pool(x), (0, 0, 0, 0, 0, 0, 0, self.added))
        return first, F.relu(self.second(self.pool(first)) + shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.halves(x)[1]


class C3DResNet(nn.Module):
    """Maps clips ``[B, T, 3, H, W]`` in [0, 1], of any length, to logits, or to one value within ``limits``.

    ``fc`` is the number of fully connected layers, 1 to 3 in the paper. For a regressor, which the paper does not have,
    outputs -1 and 1 of the last layer correspond to the limits.
    """

    def __init__(self, size: C3DSize, outputs: int, fc: int = 1, limits: tuple[float, float] | None = None) -> None:
        super().__init__()
        low, high = limits or (-1.0, 1.0)
        self.centre, self.reach = (high + low) / 2, (high - low) / 2
        width, last = size.channels[0], size.channels[-1]
        self.stem = nn.Sequential(
            nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(width), nn.ReLU()
        )
        channels = pairwise((width, *size.channels))
        *first, self.last = (Block(*pair, pooled) for pair, pooled in zip(channels, size.pooled, strict=True))
        self.first = nn.Sequential(*first)
        hidden = [layer for _ in range(fc - 1) for layer in (nn.Linear(last, last), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(last, outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def features(self, video: Tensor) -> Features:
        """The outputs of the last two convolutions after their ReLU, finer grid first, and the output (equation 1)."""
        finer, coarser = self.last.halves(self.first(self.stem(2 * video.transpose(1, 2) - 1)))
        return Features(
            (finer, coarser),
            torch.arange(video.shape[1], device=video.device),
            self.centre + self.reach * self.head(coarser.mean(dim=(2, 3, 4))),
        )

    def forward(self, video: Tensor) -> Tensor:
        return self.features(video).output


@validated(frozen=True, config={"extra": "forbid"})
class C3DConfig(NetworkConfig):
    """``size``: an entry of ``SIZES``. ``fc``: number of fully connected layers. ``clip``: (T, H, W) of the training
    videos; the network accepts others too. A classifier has ``classes``, a regressor ``limits``.
    """

    kind = "c3d_resnet"
    command = "vcfe-bench train c3d_resnet"

    size: Annotated[str, Field(pattern=f"^({'|'.join(SIZES)})$")]
    fc: Annotated[int, Field(ge=1, le=3)]
    clip: tuple[int, int, int]
    classes: tuple[str, ...]
    limits: tuple[float, float] | None = None

    def to_json(self) -> str:
        return TypeAdapter(C3DConfig).dump_json(self, exclude_none=True).decode()

    def network(self) -> C3DResNet:
        """The network, untrained."""
        return C3DResNet(SIZES[self.size], len(self.classes) or 1, self.fc, self.limits)


class C3DResNetTarget(FileTarget):
    """C3D-ResNet of Kanehira et al. 2019, from a file that ``vcfe-bench train c3d_resnet`` wrote."""

    config_type = C3DConfig
