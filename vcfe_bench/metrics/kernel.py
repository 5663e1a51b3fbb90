"""Realism without the bias of small samples: kernel distances (KID, KVD) between sets of videos.

A Fréchet distance is too large for few videos; the squared maximum mean discrepancy has an unbiased estimate at any
sample size. Its usual form assumes two independent sets. Counterfactuals are made from the originals, so a pair of rows
is counted here only if its rows come from different source videos. This holds across the sets (the U-statistic of
Gretton et al., JMLR 13, 2012, after Lemma 6, which allows dependence within a pair) and within a video, whose frames
are near copies of each other. For independent sets with one row per video the result is the usual estimate; a method
that changes nothing scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcfe_bench.metrics.feature_sets import FeatureNetwork, InceptionFrames, StVGGFrames
from vcfe_bench.metrics.set_distance import Features, I3DDistance, SetDistance
from vcfe_bench.plugins.metric import Card


def kernel_distance(a: np.ndarray, b: np.ndarray, source_a: np.ndarray, source_b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of ``a`` ``[N, D]`` and ``b`` ``[M, D]``, in float64.

    The kernel is (x·y / D + 1)³ (arXiv 1801.01401, section 4). ``source_a`` ``[N]`` and ``source_b`` ``[M]`` number the
    source videos of the rows; rows of one video are not compared. NaN with fewer than two sources in a set. The value
    may be negative, like any unbiased estimate of a quantity that can be zero.

    >>> a = np.eye(3)
    >>> kernel_distance(a, a, np.arange(3), np.arange(3))  # each row paired with its own copy
    0.0
    """
    within = _similarity(a, a, source_a, source_a) + _similarity(b, b, source_b, source_b)
    return within - 2 * _similarity(a, b, source_a, source_b)


def _similarity(a: np.ndarray, b: np.ndarray, source_a: np.ndarray, source_b: np.ndarray) -> float:
    """Mean kernel over pairs of rows from different sources."""
    kernel = (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3
    different = source_a[:, None] != source_b
    return float(kernel[different].mean()) if different.any() else float("nan")


def kernel_of_videos(originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
    """``kernel_distance``, ``counterfactuals[i]`` made from ``originals[i]``; NaN if a feature is not finite.

    Raises:
        ValueError: the sets differ in length.
    """
    pairs = list(zip(sources, originals, counterfactuals, strict=True))
    if not pairs or not all(np.isfinite(rows).all() for _, *sides in pairs for rows in sides):
        return float("nan")
    numbers = {source: number for number, source in enumerate(dict.fromkeys(source for source, *_ in pairs))}
    number = [numbers[source] for source, *_ in pairs]
    (a, source_a), (b, source_b) = (
        (np.concatenate(side), np.repeat(number, [len(rows) for rows in side]))
        for side in ([original for _, original, _ in pairs], [edit for *_, edit in pairs])
    )
    return kernel_distance(a, b, source_a, source_b)


class KernelDistance(SetDistance):
    """The kernel distance between all rows of the originals and all rows of the counterfactuals."""

    @classmethod
    def describe(cls, network: FeatureNetwork) -> Card:
        return Card(
            name=network.name("K"),
            question=f"{network.comparison} the originals, according to {network.viewer}, without the bias of small "
            "samples?",
            criterion=network.criterion,
            direction="lower",
            unit="squared discrepancy",
            range=(float("-inf"), float("inf")),
            source="kernel (x·y/D + 1)³: arXiv 1801.01401, section 4; U-statistic over source videos: JMLR 13, 2012, "
            f"Lemma 6; features: {network.source}",
            failure_modes="Unbiased at any number of videos, but noisy when they are few: an interval that contains "
            "0 shows no difference. May be negative. Not comparable between networks, nor with implementations that "
            "also compare a video with its own edit. The cubic kernel is heavy-tailed: a few unusual videos can "
            f"dominate the value. {network.failure_modes}",
            version=1 + network.revision,
            min_samples=2,
            unbiased=True,
        )

    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        return kernel_of_videos(originals, counterfactuals, sources)


class KIDInception(KernelDistance):
    """Kernel inception distance over frames, in the features of ``FID(inception)``."""

    extractor = InceptionFrames()


class KIDStVGG(KernelDistance):
    """Kernel distance over frames in features of a shift-tolerant VGG16, which needs no download."""

    extractor = StVGGFrames()


class KVDI3D(I3DDistance, KernelDistance):
    """Kernel video distance, in the logits of ``FVD(i3d)``."""
