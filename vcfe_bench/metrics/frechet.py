"""Realism: Fréchet distances between sets of originals and of counterfactuals, in the features of frozen networks.

A Fréchet distance grows as samples get fewer, and shrinks when every counterfactual is paired with an original of the
other set. Read one only beside the real-against-real distance at the same number of videos
(``statistics.real_against_real``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from vcfe_bench.metrics.feature_sets import Features, I3DClips, InceptionFrames, StVGGFrames
from vcfe_bench.plugins.metric import Card, SetMetric


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians of ``a`` ``[N, D]`` and ``b`` ``[M, D]``, in float64.

    With the centred data divided by √(N-1) as A and B, the covariances are AᵀA and BᵀB, and the trace of
    (Σa^½ Σb Σa^½)^½ is the sum of the singular values of A Bᵀ: exact for any rank, no square root of a matrix needed.
    Where N > 2D, the triangular factor of A stands in for A.

    Raises:
        ValueError: a set with fewer than two rows has no covariance; the widths differ.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"two sets [N, D] and [M, D] with N, M ≥ 2 are needed, got {a.shape} and {b.shape}")
    mean_a, root_a = _gaussian(a)
    mean_b, root_b = _gaussian(b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return max(float(distance), 0.0)


def _gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``[D]`` and a root R ``[N or D, D]`` of the covariance RᵀR (divided by N - 1)."""
    x = x.astype(np.float64)
    mean = x.mean(axis=0)
    root = (x - mean) / np.sqrt(len(x) - 1)
    return mean, scipy.linalg.qr(root, mode="r")[0][: root.shape[1]] if len(root) > 2 * root.shape[1] else root


class Frechet(SetMetric):
    """The Fréchet distance of all rows of both sets."""

    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        """``frechet_distance``; NaN where a set has fewer than two rows or NaN among them."""
        if not originals or not counterfactuals:
            return float("nan")
        sets = [np.concatenate(features) for features in (originals, counterfactuals)]
        if any(len(rows) < 2 or not np.isfinite(rows).all() for rows in sets):
            return float("nan")
        return frechet_distance(*sets)


class FIDInception(Frechet, InceptionFrames):
    """Canonical Fréchet inception distance over frames, as pytorch-fid computes it."""

    card = Card(
        name="FID(inception)",
        question="Do the frames of the counterfactuals look like frames of originals, to Inception-v3?",
        criterion="realism",
        direction="lower",
        unit="squared feature distance",
        range=(0.0, float("inf")),
        source="arXiv 1706.08500; pytorch-fid 0.3, pool3, bilinear to 299×299",
        failure_modes="Dominated by the number of samples while the videos are fewer than the 2048 features (frames "
        "of one video are near copies). Counterfactuals of the same originals make it optimistic: a method that "
        "changes nothing scores 0. Small frames are enlarged, so it partly reads interpolation. Blind to motion.",
        min_samples=2049,
    )


class FIDStVGG(Frechet, StVGGFrames):
    """The same distance in shift-tolerant VGG16 features: the stand-in without a network; frames at their own size."""

    card = Card(
        name="FID(st-vgg)",
        question="Do the frames of the counterfactuals look like frames of originals, to a shift-tolerant VGG16?",
        criterion="realism",
        direction="lower",
        unit="squared feature distance",
        range=(0.0, float("inf")),
        source="arXiv 1706.08500 with the VGG16 of arXiv 2207.13686: last convolution after its ReLU, averaged over "
        "the plane (512 features), frames at their own size",
        failure_modes="Not comparable with FID(inception), nor between frame sizes. Dominated by the number of samples "
        "while the videos are fewer than the 512 features. Counterfactuals of the same originals make it optimistic: a "
        "method that changes nothing scores 0. Blind to motion.",
        min_samples=513,
    )


class FVDI3D(Frechet, I3DClips):
    """Fréchet video distance: Kinetics-400 logits of I3D, one clip per video with all its frames."""

    card = Card(
        name="FVD(i3d)",
        question="Do the counterfactuals move and look like originals, to a network for actions?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="squared logit distance",
        range=(0.0, float("inf")),
        source="arXiv 1812.01717; I3D RGB Kinetics-400 logits; short side bilinear to 224, centre crop; one clip with "
        "all frames of the video at its own rate, from 9 frames on",
        failure_modes="Dominated by the number of samples while the videos are fewer than the 400 logits. "
        "Counterfactuals of the same originals make it optimistic: a method that changes nothing scores 0. Favours the "
        "look of frames over their motion. The customary clip has 16 frames: values at other lengths, rates or sizes "
        "are not comparable. Small frames are enlarged.",
        min_samples=401,
    )
