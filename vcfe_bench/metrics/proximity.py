"""Proximity in pixels: how far is the counterfactual from its original?"""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from vcfe_bench.metrics.inputs import video_pair, with_original
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

WINDOW = 11
"""Side of the Gaussian window of SSIM: σ 1.5, truncated at 3.5 σ."""


class L1(SampleMetric):
    """Mean absolute difference over all frames, channels and pixels."""

    card = Card(
        name="L1",
        question="How much does a pixel change on average?",
        criterion="proximity",
        direction="lower",
        unit="fraction of the 8-bit range",
        range=(0.0, 1.0),
        source="definition",
        failure_modes="Ignores where and how pixels change: faint noise everywhere and a moved object may cost the "
        "same. Zero for a method that changes nothing.",
    )

    def score(self, case: Case) -> float:
        videos = video_pair(case)
        return float("nan") if videos is None else float((videos[0].double() - videos[1].double()).abs().mean())


class SSIM(SampleMetric):
    """Structural similarity of frames with the settings of Wang et al. 2004, averaged over the frames of a video.

    Gaussian window 11×11 with σ 1.5, valid positions only, population covariance, K1 = 0.01, K2 = 0.03, data range 1,
    in float64, each RGB channel separately. scikit-image follows this with the arguments below. torchmetrics does not:
    it pads by reflection and averages over the padding too, and treats a video as a volume, with a window that extends
    through time.
    """

    card = Card(
        name="SSIM",
        question="How much of the local structure of each frame is kept?",
        criterion="proximity",
        direction="higher",
        unit="similarity",
        range=(-1.0, 1.0),
        source="Wang et al. 2004, 10.1109/TIP.2003.819861; arXiv 2511.20295, equation 11",
        failure_modes="Saturates where most of the frame is a static background, and penalises a moved object twice, "
        "at its old and its new position: compare with the row of true_edit. Ignores time; other windows give other "
        "values.",
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        side = min(dataset.shape[1:])
        return f"frames need sides of {WINDOW} pixels or more, the dataset's have {side}" if side < WINDOW else None

    def score(self, case: Case) -> float:
        return case.edited.shared(ssim)


def ssim(footage: Footage) -> float:
    """Mean SSIM between the frames of a video and those of its original; NaN if a value is not finite."""
    videos = footage.shared(with_original)
    if videos is None:
        return float("nan")
    frames = zip(*(video.double().numpy() for video in videos), strict=True)
    return float(np.mean([frame_ssim(original, edited) for original, edited in frames]))


def frame_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two frames ``[3, H, W]`` in [0, 1].

    >>> frame = np.random.default_rng(0).random((3, 16, 16))
    >>> round(float(frame_ssim(frame, frame)), 6)
    1.0
    """
    return structural_similarity(  # type: ignore[no-untyped-call]
        first,
        second,
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
