"""What frozen networks see in a video: the features that distances between sets of videos share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.metrics.inputs import checked
from vcfe_bench.metrics.network import BATCH, NetworkMetric
from vcfe_bench.models import feature_networks
from vcfe_bench.models import i3d as i3d_network
from vcfe_bench.plugins.metric import SetMetric

Features = Sequence[np.ndarray]
"""Features of a set: one array ``[n, D]`` per video."""


class _Frames(NetworkMetric, SetMetric):
    @torch.inference_mode()
    def features(self, video: Tensor) -> np.ndarray:
        """One row per frame ``[T, D]``, float32; NaN where the video is not finite."""
        network = self.build()
        return torch.cat([network(frames) for frames in checked(video).float().split(BATCH)]).numpy()


class InceptionFrames(_Frames):
    """The canonical Inception-v3 of FID, as pytorch-fid has it: pool3, frames resized to 299×299; 2048 numbers."""

    @property
    def network(self) -> str:
        return f"inception-pool3-{feature_networks.INCEPTION.sha256[:8]}"

    def build(self) -> nn.Module:
        return feature_networks.inception()


class StVGGFrames(_Frames):
    """Shift-tolerant VGG16: last of 13 convolutions after its ReLU, averaged over the plane; 512 numbers."""

    min_side = feature_networks.PooledVGG.MIN_SIDE

    @property
    def network(self) -> str:
        return f"st-vgg-relu5_3-mean-{feature_networks.ST_VGG.sha256[:8]}"

    def build(self) -> nn.Module:
        return feature_networks.st_vgg()


class I3DClips(NetworkMetric, SetMetric):
    """Kinetics-400 logits of I3D averaged over time, one clip per video with all its frames; 400 numbers.

    Frames: short side to 224 (bilinear, no antialiasing), centre crop, [-1, 1].
    """

    SIDE = 224
    min_frames = i3d_network.MIN_FRAMES

    @property
    def network(self) -> str:
        return f"i3d-224-crop-logits-{i3d_network.WEIGHTS.sha256[:8]}"

    def build(self) -> nn.Module:
        return i3d_network.i3d()

    @torch.inference_mode()
    def features(self, video: Tensor) -> np.ndarray:
        """Logits ``[1, 400]``, float32; NaN where the video is not finite."""
        return self.build()(self.clip(video)).numpy()

    @classmethod
    def clip(cls, video: Tensor) -> Tensor:
        """The network's input ``[1, 3, T, 224, 224]`` for a video ``[T, 3, H, W]``."""
        frames = checked(video).float()
        height, width = (max(cls.SIDE, round(side * cls.SIDE / min(frames.shape[2:]))) for side in frames.shape[2:])
        frames = F.interpolate(frames, (height, width), mode="bilinear", align_corners=False)
        top, left = (height - cls.SIDE) // 2, (width - cls.SIDE) // 2
        crop = frames[:, :, top : top + cls.SIDE, left : left + cls.SIDE]
        return (2 * crop - 1).transpose(0, 1)[None]
