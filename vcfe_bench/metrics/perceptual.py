"""Proximity as people perceive it: learned perceptual distances between frames, averaged over the frames of a video."""

from __future__ import annotations

from abc import abstractmethod

import torch

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.network import BATCH, FrozenNetwork
from vcfe_bench.models.feature_networks import Perceptual, lpips_alex, lpips_st_alex, lpips_vgg
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


class _FramePerceptual(FrozenNetwork, SampleMetric):
    min_side = 32
    """The last layers have no output for smaller frames."""

    @abstractmethod
    def build(self) -> Perceptual: ...

    @torch.inference_mode()
    def score(self, case: Case) -> float:
        videos = video_pair(case)
        if videos is None:
            return float("nan")
        network = self.build()
        batches = zip(*(torch.split(video, BATCH) for video in videos), strict=True)
        return float(torch.cat([network(*batch) for batch in batches]).double().mean())


_FAILURES = (
    "Compares single frames, so flicker costs no more than a static change. Trained on photographs: synthetic frames "
    "are out of its domain. Values at different frame sizes are not comparable. Adversarial noise can fool it, as it "
    "can any network."
)


class LPIPSAlex(_FramePerceptual):
    """Canonical LPIPS: version 0.1, AlexNet, mean over frames."""

    card = Card(
        name="LPIPS(alex)",
        question="How different would a person find the frames, according to the canonical AlexNet distance?",
        criterion="proximity",
        direction="lower",
        unit="LPIPS",
        range=(0.0, float("inf")),
        source="arXiv 1801.03924, version 0.1 of the heads, AlexNet of torchvision",
        failure_modes=_FAILURES,
    )

    def build(self) -> Perceptual:
        return lpips_alex()


class LPIPSVGG(_FramePerceptual):
    """Canonical LPIPS with VGG16: version 0.1, mean over frames; the variant that echocardiogram papers report."""

    card = Card(
        name="LPIPS(vgg)",
        question="How different would a person find the frames, according to the canonical VGG16 distance?",
        criterion="proximity",
        direction="lower",
        unit="LPIPS",
        range=(0.0, float("inf")),
        source="arXiv 1801.03924, version 0.1 of the heads, VGG16 of torchvision",
        failure_modes="Not comparable with LPIPS(alex): another network, other heads. " + _FAILURES,
    )

    def build(self) -> Perceptual:
        return lpips_vgg()


class LPIPSStAlex(_FramePerceptual):
    """Shift-tolerant LPIPS, whose weights come with an installed package, so it needs no download."""

    card = Card(
        name="LPIPS(st-alex)",
        question="How different would a person find the frames, according to the shift-tolerant AlexNet distance?",
        criterion="proximity",
        direction="lower",
        unit="ST-LPIPS",
        range=(0.0, float("inf")),
        source="arXiv 2207.13686, version 0.0 of the weights",
        failure_modes="Not comparable with LPIPS(alex): another network, other heads, less sensitive to small shifts. "
        + _FAILURES,
    )

    def build(self) -> Perceptual:
        return lpips_st_alex()
