"""Realism without the reward for staying close: Fréchet distances (sFID, sFVD) to *other* originals.

FID and FVD between originals and *their* counterfactuals are optimistic, because every original has a near copy in the
other set. Here the source videos are split at random into two halves, the originals of one half are compared with the
counterfactuals of the other, both ways, and the mean is taken over several splits (the sFID of ACE, arXiv 2303.09962).
Compare the value with its own noise floor, never with FID or FVD: it uses half of the videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from vcfe_bench.core import seeds
from vcfe_bench.metrics.feature_sets import FeatureNetwork, InceptionFrames, StVGGFrames
from vcfe_bench.metrics.frechet import frechet_of_videos
from vcfe_bench.metrics.set_distance import Features, I3DDistance, SetDistance
from vcfe_bench.plugins.metric import Card, Distance

SPLITS = 10


def split_half_distance(
    originals: Features,
    counterfactuals: Features,
    sources: Sequence[str],
    distance: Callable[[Features, Features], float],
    among: Sequence[str] = (),
) -> float:
    """Mean of ``distance`` between originals of one half and counterfactuals of the other, over ``SPLITS`` splits.

    Each split orders the source videos by a hash of its number and their names, and halves them. Where ``sources`` are
    some of the videos ``among`` which they were chosen, those are halved: leaving a video out moves no other one.

    >>> videos = [np.full((1, 1), value) for value in (0.0, 2.0)]
    >>> split_half_distance(videos, videos, ["a", "b"], lambda real, edited: abs(real[0] - edited[0]).item())
    2.0

    Raises:
        ValueError: the sets differ in length.
    """
    pairs = list(zip(sources, originals, counterfactuals, strict=True))
    distances = []
    for split in range(SPLITS):
        order = sorted(set(among or sources), key=lambda source: seeds.derive(split, source))
        first = set(order[: len(order) // 2])
        for side in (True, False):
            real = [original for source, original, _ in pairs if (source in first) == side]
            edited = [edit for source, _, edit in pairs if (source in first) != side]
            distances.append(distance(real, edited))
    return float(np.mean(distances))


class SplitHalfFrechet(SetDistance):
    """The Fréchet distance between opposite halves of the source videos, averaged over splits."""

    @classmethod
    def describe(cls, network: FeatureNetwork) -> Card:
        return Card(
            name=network.name("sF"),
            question=f"{network.comparison} other originals, according to {network.viewer}?",
            criterion=network.criterion,
            direction="lower",
            unit=f"squared {network.feature} distance",
            range=(0.0, float("inf")),
            source=f"arXiv 2303.09962: mean over {SPLITS} seeded splits, both ways; distance of {network.name('F')}; "
            f"features: {network.source}",
            failure_modes=f"Dominated by the sample size while a half has fewer videos than the {network.width} "
            f"{network.feature}s: it needs twice as many videos as {network.name('F')}, and has a noise floor of its "
            "own. Depends on the random splits, which are fixed and the same for every method. "
            f"{network.failure_modes}",
            min_samples=2 * (network.width + 1),
            version=2 + network.revision,
        )

    def distance(self, originals: Features, counterfactuals: Features, sources: Sequence[str]) -> float:
        return split_half_distance(originals, counterfactuals, sources, frechet_of_videos)

    def distance_among(self, sources: Sequence[str]) -> Distance:
        return partial(split_half_distance, distance=frechet_of_videos, among=tuple(sources))


class SFIDInception(SplitHalfFrechet):
    """``FID(inception)`` between originals and counterfactuals of other originals."""

    extractor = InceptionFrames()


class SFIDStVGG(SplitHalfFrechet):
    """``FID(st-vgg)`` between originals and counterfactuals of other originals."""

    extractor = StVGGFrames()


class SFVDI3D(I3DDistance, SplitHalfFrechet):
    """``FVD(i3d)`` between originals and counterfactuals of other originals."""
