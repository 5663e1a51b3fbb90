"""Realism without the reward for staying close: Fréchet distances in which no original meets its own counterfactual.

FID and FVD between originals and *their* counterfactuals are optimistic: every original has a near copy on the other
side. Here the source videos are dealt into two halves; the originals of one are compared with the counterfactuals of
the other, both ways, and the mean is taken over several deals (the sFID of ACE, arXiv 2303.09962). Read it against its
floor, and never against FID or FVD: it rests on half of the videos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcfe_bench.core import seeds
from vcfe_bench.metrics.feature_sets import Features
from vcfe_bench.metrics.frechet import FVDI3D, FIDInception, FIDStVGG
from vcfe_bench.plugins.metric import Card, SetMetric

SPLITS = 10


class _SplitHalf(SetMetric):
    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        """Mean of the distances between opposite halves over ``SPLITS`` deals.

        Each deal orders the source videos by a hash of its number and of their names: leaving a video out moves no more
        than one other to the other half.

        Raises:
            ValueError: the sets differ in length.
        """
        pairs = list(zip(sources, originals, counterfactuals, strict=True))
        distances = []
        for split in range(SPLITS):
            order = sorted(set(sources), key=lambda source: seeds.derive(split, source))
            first = set(order[: len(order) // 2])
            for side in (True, False):
                real = [original for source, original, _ in pairs if (source in first) == side]
                edited = [edit for source, _, edit in pairs if (source in first) != side]
                distances.append(super().distance(real, edited, ()))  # type: ignore[safe-super]
        return float(np.mean(distances))


_FAILURES = (
    " Compares halves, so it needs twice as many videos, and its own floor. Depends on the deals, which are fixed: the "
    "same for every method."
)


class SFIDInception(_SplitHalf, FIDInception):
    """FID(inception) between originals and counterfactuals of other originals."""

    card = Card(
        name="sFID(inception)",
        question="Do the frames look like frames of other originals, to Inception-v3?",
        criterion="realism",
        direction="lower",
        unit="squared feature distance",
        range=(0.0, float("inf")),
        source="arXiv 2303.09962; ten seeded deals, both ways; distance of FID(inception)",
        failure_modes="Dominated by the number of samples while a half has fewer videos than the 2048 features. Blind "
        "to motion." + _FAILURES,
        min_samples=2 * 2049,
        version=2,
    )


class SFIDStVGG(_SplitHalf, FIDStVGG):
    """FID(st-vgg) between originals and counterfactuals of other originals."""

    card = Card(
        name="sFID(st-vgg)",
        question="Do the frames look like frames of other originals, to a shift-tolerant VGG16?",
        criterion="realism",
        direction="lower",
        unit="squared feature distance",
        range=(0.0, float("inf")),
        source="arXiv 2303.09962; ten seeded deals, both ways; distance of FID(st-vgg)",
        failure_modes="Dominated by the number of samples while a half has fewer videos than the 512 features. Blind "
        "to motion." + _FAILURES,
        min_samples=2 * 513,
        version=2,
    )


class SFVDI3D(_SplitHalf, FVDI3D):
    """FVD(i3d) between originals and counterfactuals of other originals."""

    card = Card(
        name="sFVD(i3d)",
        question="Do the counterfactuals move and look like other originals, to a network for actions?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="squared logit distance",
        range=(0.0, float("inf")),
        source="arXiv 2303.09962 with arXiv 1812.01717; ten seeded deals, both ways; distance of FVD(i3d)",
        failure_modes="Dominated by the number of samples while a half has fewer videos than the 400 logits. Favours "
        "the look of frames over their motion." + _FAILURES,
        min_samples=2 * 401,
        version=2,
    )
