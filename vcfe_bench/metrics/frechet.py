"""Realism: Fréchet distances (FID, FVD) between sets of originals and of counterfactuals.

A Fréchet distance grows as the sample shrinks, and becomes smaller when every counterfactual is paired with an original
of the other set. Compare it only with the real-vs-real distance at the same number of videos
(``stats.set_distances.real_against_real``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from vcfe_bench.metrics.feature_sets import FeatureNetwork, InceptionFrames, StVGGFrames
from vcfe_bench.metrics.set_distance import Features, I3DDistance, SetDistance
from vcfe_bench.plugins.metric import Card


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians of ``a`` ``[N, D]`` and ``b`` ``[M, D]``, in float64.

    With A and B the centred data divided by √(N-1) and √(M-1), the covariances are AᵀA and BᵀB, and the trace of
    (Σa^½ Σb Σa^½)^½ is the sum of the singular values of A Bᵀ. This is exact at any rank and needs no matrix square
    root. Where N > 2D, A is replaced by its triangular factor.

    >>> a = np.array([[-1.0], [0.0], [1.0]])  # mean 0, deviation 1
    >>> b = np.array([[1.0], [3.0], [5.0]])  # mean 3, deviation 2
    >>> round(frechet_distance(a, b), 6)  # (3 - 0)² + (2 - 1)²
    10.0

    Raises:
        ValueError: a set has fewer than two rows, and therefore no covariance, or the widths differ.
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


def frechet_of_videos(originals: Features, counterfactuals: Features) -> float:
    """``frechet_distance`` of all rows of two sets; NaN where a set has fewer than two rows or a row is not finite."""
    if not originals or not counterfactuals:
        return float("nan")
    rows = [np.concatenate(features) for features in (originals, counterfactuals)]
    if any(len(x) < 2 or not np.isfinite(x).all() for x in rows):
        return float("nan")
    return frechet_distance(*rows)


class FrechetDistance(SetDistance):
    """The Fréchet distance between all rows of the originals and all rows of the counterfactuals."""

    @classmethod
    def describe(cls, network: FeatureNetwork) -> Card:
        return Card(
            name=network.name("F"),
            question=f"{network.comparison} the originals, according to {network.viewer}?",
            criterion=network.criterion,
            direction="lower",
            unit=f"squared {network.feature} distance",
            range=(0.0, float("inf")),
            source=f"Fréchet distance: arXiv 1706.08500; features: {network.source}",
            failure_modes=f"Dominated by the sample size while there are fewer videos than the {network.width} "
            f"{network.feature}s. Optimistic, because every counterfactual is compared with a set that contains its "
            f"own original: a method that changes nothing scores 0. {network.failure_modes}",
            version=1 + network.revision,
            min_samples=network.width + 1,
        )

    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        return frechet_of_videos(originals, counterfactuals)


class FIDInception(FrechetDistance):
    """The canonical Fréchet inception distance over frames, as pytorch-fid computes it."""

    extractor = InceptionFrames()


class FIDStVGG(FrechetDistance):
    """The Fréchet distance over frames in features of a shift-tolerant VGG16, which needs no download."""

    extractor = StVGGFrames()


class FVDI3D(I3DDistance, FrechetDistance):
    """Fréchet video distance: Kinetics-400 logits of I3D, one clip per video with all its frames."""
