"""Video Swin Transformers as targets: torchvision's ``SwinTransformer3d`` in a small and the published sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import PatchEmbed3d, SwinTransformer3d

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import ZOO
from vcfe_bench.models.trained_target import FileTarget, NetworkConfig, NetworkTarget
from vcfe_bench.plugins.target import Features


@dataclass(frozen=True)
class SwinSize:
    """Arguments of ``SwinTransformer3d``."""

    embed: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    patch: tuple[int, int, int] = (2, 4, 4)
    window: tuple[int, int, int] = (8, 7, 7)
    stochastic_depth: float = 0.1


SIZES = {
    "mini": SwinSize(24, (2, 2), (2, 4), window=(8, 4, 4), stochastic_depth=0.0),
    "swin3d_t": SwinSize(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin3d_s": SwinSize(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin3d_b": SwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32)),
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VideoSwin(nn.Module):
    """Maps clips ``[B, T, 3, H, W]`` in [0, 1] to logits or a value; selects and normalises frames itself.

    It reads ``length`` frames: 0, stride, 2·stride … The others do not influence the output and get no gradient (the
    models in Table S2 of the BTTF paper read every second frame). For a regressor with values in ``limits``, the
    network's outputs -1 and 1 correspond to the limits. ``span`` is the number of frames from the first read to the
    last.
    """

    frames: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, size: SwinSize, outputs: int, length: int, stride: int, limits: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        low, high = limits or (-1.0, 1.0)
        self.centre, self.reach = (high + low) / 2, (high - low) / 2
        self.patch, self.span = size.patch[0], (length - 1) * stride + 1
        self.register_buffer("frames", torch.arange(length) * stride, persistent=False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.network = SwinTransformer3d(
            patch_size=list(size.patch),
            embed_dim=size.embed,
            depths=list(size.depths),
            num_heads=list(size.heads),
            window_size=list(size.window),
            stochastic_depth_prob=size.stochastic_depth,
            num_classes=outputs,
            patch_embed=PatchEmbed3d,
        )

    def forward(self, video: Tensor) -> Tensor:
        return self.centre + self.reach * self.network(self._clip(video)).to(video.dtype)

    def features(self, video: Tensor) -> Features:
        """The outputs of the last two stages, the finer grid first, and the output.

        A temporal step of the features is a patch of frames that are read. It covers the video's frames from its first
        frame to the first of the next patch; the last step covers all that follow.
        """
        network = self.network
        *earlier, merging, last = network.features
        finer = nn.Sequential(*earlier)(network.pos_drop(network.patch_embed(self._clip(video))))
        coarser = network.norm(last(merging(finer)))
        scales = tuple(x.permute(0, 4, 1, 2, 3) for x in (finer, coarser))
        output = network.head(network.avgpool(scales[1]).flatten(1))
        first = self.frames[:: self.patch].contiguous()
        every = torch.arange(video.shape[1], device=video.device)
        steps = torch.bucketize(every, first, right=True) - 1
        return Features(scales, steps, self.centre + self.reach * output)

    def _clip(self, video: Tensor) -> Tensor:
        """The frames that the network reads, normalised, as ``[B, 3, length, H, W]``."""
        if video.shape[1] < self.span:
            raise UsageError(f"the network reads {self.span} frames, the video has {video.shape[1]}")
        return ((video.index_select(1, self.frames) - self.mean) / self.std).transpose(1, 2)


SizeName = Literal["mini", "swin3d_t", "swin3d_s", "swin3d_b"]


@validated(frozen=True, config={"extra": "forbid"})
class SwinConfig(NetworkConfig):
    """``size``: an entry of ``SIZES``. ``clip``: (T, H, W) of the training videos. ``length``: number of frames read,
    ``stride`` apart. A classifier has ``classes``, a regressor ``limits``.
    """

    kind = "video_swin"
    command = "vcfe-bench train target"

    size: SizeName
    clip: tuple[int, int, int]
    length: int = Field(ge=1)
    stride: int = Field(ge=1)
    classes: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None

    def network(self) -> VideoSwin:
        """The network, untrained."""
        return VideoSwin(SIZES[self.size], len(self.classes) or 1, self.length, self.stride, self.limits)


class VideoSwinTarget(FileTarget):
    """The Video Swin of a file written by ``vcfe-bench train target``, which describes its size, clip and classes."""

    config_type = SwinConfig


@validated(frozen=True, config={"extra": "forbid"})
class MSwinParams:
    """``weights``: another safetensors file for the same network; empty for the shipped one."""

    weights: str = ""


class MSwin(NetworkTarget):
    """M-swin: a small Video Swin trained on Shape-Moving; reads 8 of 17 frames."""

    Params = MSwinParams
    params: MSwinParams
    classes = ("up", "down", "left", "right")
    clip = (17, 64, 64)

    def __init__(self, params: MSwinParams | None = None) -> None:
        super().__init__(params)
        path = Path(self.params.weights or ZOO / "m_swin.safetensors")
        self.fill(VideoSwin(SIZES["mini"], len(self.classes), length=8, stride=2), path)

    @property
    def fingerprint(self) -> str:
        frames = "-".join(str(int(i)) for i in self.model.frames)
        return f"{weights.fingerprint(self.model)}-frames{frames}"
