"""Feature networks: frozen networks that turn a video into the feature vectors that set distances compare."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.metrics.inputs import checked
from vcfe_bench.metrics.network import BATCH, FrozenNetwork
from vcfe_bench.models import feature_networks
from vcfe_bench.models import i3d as i3d_network
from vcfe_bench.plugins.terms import Criterion


class FeatureNetwork(FrozenNetwork):
    """A frozen network, its preprocessing, and what the cards of its distances say about it.

    ``label`` names it in the names of metrics, and ``letter`` stands for what it looks at: FID, KID and sFID compare
    images (I), FVD, KVD and sFVD videos (V). ``width`` is the number of features in a row; ``revision`` counts the
    changes of the features under the same label.
    """

    label: ClassVar[str]
    letter: ClassVar[Literal["I", "V"]]
    width: ClassVar[int]
    revision: ClassVar[int] = 0
    feature: ClassVar[Literal["feature", "logit"]]
    criterion: ClassVar[Criterion]
    comparison: ClassVar[str]
    """The first words of the question on a card."""
    viewer: ClassVar[str]
    """What the network is called in the question on a card."""
    source: ClassVar[str]
    failure_modes: ClassVar[str]

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name of the network, its preprocessing and its weights; features with the same identity are equal."""

    @abstractmethod
    def features(self, video: Tensor) -> np.ndarray:
        """Features ``[n, width]``, float32, of one ``[T, 3, H, W]`` video; NaN where the video is not finite."""

    def name(self, distance: str) -> str:
        """Name of the metric that computes a distance on these features: ``FID(inception)`` for the distance ``F``."""
        return f"{distance}{self.letter}D({self.label})"


class FrameNetwork(FeatureNetwork):
    """A feature network for images: one row of features per frame."""

    letter = "I"
    feature = "feature"
    criterion = "realism"
    comparison = "Do the frames of the counterfactuals look like frames of"

    @torch.inference_mode()
    def features(self, video: Tensor) -> np.ndarray:
        network = self.build()
        return torch.cat([network(frames) for frames in torch.split(checked(video).float(), BATCH)]).numpy()


class InceptionFrames(FrameNetwork):
    """The Inception-v3 of the canonical FID, as in pytorch-fid: pool3 features of frames resized to 299×299."""

    label = "inception"
    width = 2048
    viewer = "Inception-v3"
    source = "pool3 of Inception-v3 as in pytorch-fid 0.3, frames resized bilinearly to 299×299"
    failure_modes = (
        "Insensitive to motion. The frames of one video are near copies of each other and add little to the sample "
        "size. Small frames are enlarged, so the value partly reflects the interpolation."
    )

    @property
    def identity(self) -> str:
        return f"inception-pool3-{feature_networks.INCEPTION.sha256[:8]}"

    def build(self) -> nn.Module:
        return feature_networks.inception()


class StVGGFrames(FrameNetwork):
    """Shift-tolerant VGG16: the last of 13 convolutions after its ReLU, averaged over the plane.

    Its weights come with an installed package, so it needs no download.
    """

    label = "st-vgg"
    width = 512
    viewer = "a shift-tolerant VGG16"
    source = (
        "last convolution of the VGG16 of arXiv 2207.13686 after its ReLU, averaged over the plane (512 features), "
        "frames at their own size"
    )
    failure_modes = (
        "Insensitive to motion. The frames of one video are near copies of each other and add little to the sample "
        "size. Not comparable with values in Inception features, nor between frame sizes."
    )
    min_side = feature_networks.PooledVGG.MIN_SIDE

    @property
    def identity(self) -> str:
        return f"st-vgg-relu5_3-mean-{feature_networks.ST_VGG.sha256[:8]}"

    def build(self) -> nn.Module:
        return feature_networks.st_vgg()


class I3DClips(FeatureNetwork):
    """Kinetics-400 logits of I3D averaged over time, one clip per video with all its frames.

    Frames: whole, resized to 224×224 whatever their shape (bilinear, no antialiasing), [-1, 1], as the reference
    implementation of FVD does (arXiv 1812.01717).
    """

    SIDE = 224

    label = "i3d"
    letter = "V"
    width = 400
    feature = "logit"
    criterion = "spatiotemporal consistency"
    comparison = "Do the counterfactuals look and move like"
    viewer = "an action-recognition network (I3D)"
    source = (
        "Kinetics-400 logits of I3D RGB (arXiv 1812.01717), whole frames resized bilinearly to 224×224 as in the "
        "reference implementation, one clip per video with all its frames (9 or more) at its own frame rate"
    )
    failure_modes = (
        "Weighs the appearance of frames more than their motion. The customary clip has 16 frames: values at other "
        "lengths, frame rates or frame sizes are not comparable. Small frames are enlarged."
    )
    min_frames = i3d_network.MIN_FRAMES
    revision = 1

    @property
    def identity(self) -> str:
        return f"i3d-224-whole-logits-{i3d_network.WEIGHTS.sha256[:8]}"

    def build(self) -> nn.Module:
        return i3d_network.i3d()

    @torch.inference_mode()
    def features(self, video: Tensor) -> np.ndarray:
        return self.build()(self.clip(video)).numpy()

    @classmethod
    def clip(cls, video: Tensor) -> Tensor:
        """The network's input ``[1, 3, T, 224, 224]`` for a video ``[T, 3, H, W]``."""
        frames = cls.resized(checked(video).float(), cls.SIDE, cls.SIDE)
        return (2 * frames - 1).transpose(0, 1)[None]

    @staticmethod
    def resized(frames: Tensor, height: int, width: int) -> Tensor:
        """Frames ``[T, 3, H, W]`` interpolated bilinearly, without antialiasing."""
        return F.interpolate(frames, (height, width), mode="bilinear", align_corners=False)


class CroppedI3DClips(I3DClips):
    """As ``I3DClips``, with the aspect ratio of the frames kept: short side to 224, centre crop."""

    label = "i3d-crop"
    source = (
        "Kinetics-400 logits of I3D RGB (arXiv 1812.01717), short side resized bilinearly to 224, centre crop, one "
        "clip per video with all its frames (9 or more) at its own frame rate"
    )
    failure_modes = f"Ignores what lies outside the central square. {I3DClips.failure_modes}"
    revision = 0

    @property
    def identity(self) -> str:
        return f"i3d-224-crop-logits-{i3d_network.WEIGHTS.sha256[:8]}"

    @classmethod
    def clip(cls, video: Tensor) -> Tensor:
        frames = checked(video).float()
        height, width = (max(cls.SIDE, round(side * cls.SIDE / min(frames.shape[2:]))) for side in frames.shape[2:])
        top, left = (height - cls.SIDE) // 2, (width - cls.SIDE) // 2
        frames = cls.resized(frames, height, width)[:, :, top : top + cls.SIDE, left : left + cls.SIDE]
        return (2 * frames - 1).transpose(0, 1)[None]
