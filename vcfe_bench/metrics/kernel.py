"""Realism without the bias of few videos: kernel distances (KID, KVD) in the features of frozen networks.

A Fréchet distance is too large for few videos; the squared maximum mean discrepancy has an unbiased estimate at any
number. Its usual form assumes two independent sets. Counterfactuals are made from the originals, so a pair of rows
counts here only if its rows come from different source videos: also across the sets (the U-statistic of Gretton et al.,
JMLR 13, 2012, after Lemma 6, which allows dependence within a pair), and also within one video, whose frames are near
copies. For independent sets with a row per video that is the usual estimate; a method that changes nothing scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcfe_bench.metrics.feature_sets import Features, I3DClips, InceptionFrames, StVGGFrames
from vcfe_bench.plugins.metric import Card, SetMetric


def kernel_distance(a: np.ndarray, b: np.ndarray, source_a: np.ndarray, source_b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of ``a`` ``[N, D]`` and ``b`` ``[M, D]``, in float64.

    The kernel is (x·y / D + 1)³ (arXiv 1801.01401, section 4). ``source_a`` ``[N]`` and ``source_b`` ``[M]`` number the
    source videos of the rows; rows of one video are not compared. NaN with fewer than two sources in a set. The value
    may be negative, as that of any unbiased estimate of a number that can be zero.
    """
    within = _similarity(a, a, source_a, source_a) + _similarity(b, b, source_b, source_b)
    return within - 2 * _similarity(a, b, source_a, source_b)


def _similarity(a: np.ndarray, b: np.ndarray, source_a: np.ndarray, source_b: np.ndarray) -> float:
    """Mean kernel over pairs of rows from different sources."""
    kernel = (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3
    apart = source_a[:, None] != source_b
    return float(kernel[apart].mean()) if apart.any() else float("nan")


class _Kernel(SetMetric):
    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        """``kernel_distance``, ``counterfactuals[i]`` made from ``originals[i]``; NaN if a feature is not a number.

        Raises:
            ValueError: the sets differ in length.
        """
        pairs = list(zip(sources, originals, counterfactuals, strict=True))
        if not pairs or not all(np.isfinite(rows).all() for _, *sides in pairs for rows in sides):
            return float("nan")
        numbers = {source: number for number, source in enumerate(dict.fromkeys(source for source, *_ in pairs))}
        sides = [np.concatenate([pair[side] for pair in pairs]) for side in (1, 2)]
        source = [
            np.repeat([numbers[pair[0]] for pair in pairs], [len(pair[side]) for pair in pairs]) for side in (1, 2)
        ]
        return kernel_distance(*sides, *source)


_FAILURES = (
    "Unbiased at any number of videos, but as noisy as they are few: an interval that holds 0 shows no difference. May "
    "be negative. Not comparable with values of other networks, nor with tables that compare a video with its own edit."
)
_SOURCE = "arXiv 1801.01401, section 4: kernel (x·y/D + 1)³; U-statistic over source videos (JMLR 13, 2012, Lemma 6)"
_RANGE = (float("-inf"), float("inf"))


class KIDInception(_Kernel, InceptionFrames):
    """Kernel inception distance over frames, in the features of FID(inception)."""

    card = Card(
        name="KID(inception)",
        question="Do the frames of the counterfactuals look like frames of originals, without bias from few videos?",
        criterion="realism",
        direction="lower",
        unit="squared discrepancy",
        range=_RANGE,
        source=_SOURCE,
        failure_modes=_FAILURES + " Small frames are enlarged, so it partly reads interpolation. Blind to motion.",
        min_samples=2,
    )


class KIDStVGG(_Kernel, StVGGFrames):
    """The same distance in shift-tolerant VGG16 features: the stand-in without a network."""

    card = Card(
        name="KID(st-vgg)",
        question="Do the frames of the counterfactuals look like originals to VGG16, without bias from few videos?",
        criterion="realism",
        direction="lower",
        unit="squared discrepancy",
        range=_RANGE,
        source=f"{_SOURCE}; features of FID(st-vgg)",
        failure_modes=_FAILURES + " Blind to motion.",
        min_samples=2,
    )


class KVDI3D(_Kernel, I3DClips):
    """Kernel video distance, in the logits of FVD(i3d)."""

    card = Card(
        name="KVD(i3d)",
        question="Do the counterfactuals move and look like originals to I3D, without bias from few videos?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="squared discrepancy",
        range=_RANGE,
        source=f"{_SOURCE}; arXiv 1812.01717; logits of FVD(i3d)",
        failure_modes=_FAILURES + " The cubic kernel of logits has a long tail: a few odd videos rule the value.",
        min_samples=2,
    )
