"""Inflated Inception-v1 (I3D, arXiv 1705.07750) trained on Kinetics-400: the network of the Fréchet video distance.

The layers have the names of the published network. Padding is TensorFlow's SAME: it is added on both sides so that
``ceil(length / stride)`` windows fit, with an odd element at the end.
"""

from __future__ import annotations

from functools import lru_cache, reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vcfe_bench.core.weights import Weights, fill, load

WEIGHTS = Weights("i3d_kinetics400.safetensors", "86183a11cab622ab569e36d38a4e4ea8890ce0612bcddda4e38083a4beefee7b")
MIN_FRAMES = 9
"""With fewer frames, only one time step is left before the last pooling, which needs two."""

Triple = tuple[int, int, int]
"""(T, H, W) of a kernel or a stride."""
MIXED = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Input channels, and channels of the six convolutions, of each inception block."""


def pad_same(x: Tensor, kernel: Triple, stride: Triple, value: float = 0.0) -> Tensor:
    """``x`` ``[B, C, T, H, W]`` with TensorFlow's SAME padding for one convolution or pooling."""
    padding: list[int] = []
    for length, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((-(-length // s) - 1) * s + k - length, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding, value=value) if any(padding) else x


class Unit(nn.Module):
    """Convolution without bias, batch normalisation without scale (ε = 1e-3), ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, kernel, stride, bias=False)
        self.norm: nn.Module = nn.BatchNorm3d(channels_out, eps=1e-3)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """On a CPU by oneDNN: for the small planes of one clip, torch's own choice takes 1.5 times as long."""
        padding = [0, 0, 0]
        if self.stride == (1, 1, 1):
            padding = [(k - 1) // 2 for k in self.kernel]
        else:
            x = pad_same(x, self.kernel, self.stride)
        weight, bias = self.conv.weight, self.conv.bias
        if x.is_cpu and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            x = torch.ops.aten.mkldnn_convolution(x, weight, bias, padding, self.stride, (1, 1, 1), 1)
        else:
            x = F.conv3d(x, weight, bias, self.stride, padding)
        return self.norm(x).relu_()

    def fold(self) -> None:
        """Fold the normalisation into the convolution's weights, where it costs nothing."""
        assert isinstance(self.norm, nn.BatchNorm3d)
        self.conv = fuse_conv_bn_eval(self.conv, self.norm)
        self.norm = nn.Identity()


class Pool(nn.Module):
    """Max pooling with SAME padding."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Without a gradient: maxima over windows, one axis after the other, equal to ``max_pool3d`` bit for bit.

        This takes a fifth of the time, but would keep every intermediate for the backward pass.
        """
        x = pad_same(x, self.kernel, self.stride, -torch.inf)
        if x.requires_grad:
            return F.max_pool3d(x, self.kernel, self.stride)
        for axis, (kernel, stride) in enumerate(zip(self.kernel, self.stride, strict=True), start=2):
            windows = x.unfold(axis, kernel, stride)
            x = reduce(torch.maximum, windows.unbind(-1))
        return x


class Mixed(nn.Module):
    """Inception block: four parallel branches, concatenated."""

    def __init__(self, channels_in: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.Branch_0 = nn.ModuleDict({"Conv3d_0a_1x1": Unit(channels_in, channels[0])})
        self.Branch_1 = nn.ModuleDict(
            {
                "Conv3d_0a_1x1": Unit(channels_in, channels[1]),
                "Conv3d_0b_3x3": Unit(channels[1], channels[2], (3, 3, 3)),
            }
        )
        self.Branch_2 = nn.ModuleDict(
            {
                "Conv3d_0a_1x1": Unit(channels_in, channels[3]),
                "Conv3d_0b_3x3": Unit(channels[3], channels[4], (3, 3, 3)),
            }
        )
        self.Branch_3 = nn.ModuleDict(
            {"MaxPool3d_0a_3x3": Pool((3, 3, 3), (1, 1, 1)), "Conv3d_0b_1x1": Unit(channels_in, channels[5])}
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in (self.Branch_0, self.Branch_1, self.Branch_2, self.Branch_3):
            y = x
            for layer in branch.values():
                y = layer(y)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


class I3D(nn.Module):
    """Maps clips ``[B, 3, T, 224, 224]`` in [-1, 1], T ≥ 9, to logits ``[B, 400]`` averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        self.trunk.add_module("Conv3d_1a_7x7", Unit(3, 64, (7, 7, 7), (2, 2, 2)))
        self.trunk.add_module("MaxPool3d_2a_3x3", Pool((1, 3, 3), (1, 2, 2)))
        self.trunk.add_module("Conv3d_2b_1x1", Unit(64, 64))
        self.trunk.add_module("Conv3d_2c_3x3", Unit(64, 192, (3, 3, 3)))
        self.trunk.add_module("MaxPool3d_3a_3x3", Pool((1, 3, 3), (1, 2, 2)))
        for name, (channels_in, channels) in MIXED.items():
            if name == "Mixed_4b":
                self.trunk.add_module("MaxPool3d_4a_3x3", Pool((3, 3, 3), (2, 2, 2)))
            if name == "Mixed_5b":
                self.trunk.add_module("MaxPool3d_5a_2x2", Pool((2, 2, 2), (2, 2, 2)))
            self.trunk.add_module(name, Mixed(channels_in, channels))
        self.logits = nn.Conv3d(1024, 400, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool3d(self.trunk(x), (2, 7, 7), stride=1)
        return self.logits(pooled).mean(dim=(2, 3, 4))


@lru_cache(maxsize=1)
def i3d() -> I3D:
    """The network with the shipped weights, frozen, built once per process.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    with torch.device("meta"):
        network = I3D()
    fill(network, load(WEIGHTS), WEIGHTS.name)
    for unit in network.modules():
        if isinstance(unit, Unit):
            unit.fold()
    return network.to(memory_format=torch.channels_last_3d)
