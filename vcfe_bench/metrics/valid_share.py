"""A composite metric: is a counterfactual valid, close to its original, and plausible, all at once?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.motion import Roughness, permanence, roughness
from vcfe_bench.metrics.proximity import SSIM, ssim
from vcfe_bench.metrics.sharpness import detail
from vcfe_bench.metrics.temporal import first_frame_l1
from vcfe_bench.metrics.validity import FlipRate, SemanticFlipRate
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

SSIM_SHARE = 0.9
"""Lowest SSIM to the original, as a share of the true edit's."""
FIRST_FRAME_MARGIN = 0.02
"""How much larger than the true edit's the L1 between first frames may be. An autoencoder costs about 0.01; another
object on a sixteenth of the frame costs more."""
SHARPNESS_SHARE = 0.3
"""Lowest energy of the Laplacian, as a share of the true edit's. The embedded autoencoder keeps 0.4 or more, a Gaussian
blur of 0.7 pixels 0.15 to 0.28."""
ROUGHNESS_MARGIN = 1.0
"""How much larger than the true edit's the roughness may be. Braking at the border, which the true edit may do or not,
costs at most 0.83 in a motion over a third of the clip; a jump by half an object costs 1.5 or more."""


def conditions(case: Case) -> Iterator[bool]:
    """The conditions, evaluated lazily, cheap ones first. A path with gaps has no roughness, and fails."""
    yield FlipRate().score(case) == 1
    yield SemanticFlipRate().score(case) == 1
    yield first_frame_l1(case.edited) <= first_frame_l1(case.ideal) + FIRST_FRAME_MARGIN
    if Roughness().unavailable(case.dataset) is None:
        bound = roughness(case.ideal) + ROUGHNESS_MARGIN
        yield permanence(case.edited) == 1 if math.isnan(bound) else roughness(case.edited) <= bound
    yield case.edited.shared(detail) >= SHARPNESS_SHARE * case.ideal.shared(detail)
    yield case.edited.shared(ssim) >= SSIM_SHARE * case.ideal.shared(ssim)


class ValidShare(SampleMetric):
    """1 where a counterfactual meets all ``conditions``, else 0.

    It flips the target, its content meets the goal according to the oracle, it is about as close to the original as the
    true edit is, starts like the true edit, is not blurred, and keeps its object in steady motion.
    """

    card = Card(
        name="valid_share",
        question="How many counterfactuals are valid to target and oracle, close to the original and plausible at "
        "once?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"FR = 1; semantic_FR = 1; SSIM ≥ {SSIM_SHARE} × the true edit's; first_frame_L1 ≤ the true edit's + "
        f"{FIRST_FRAME_MARGIN}; sharpness ≥ {SHARPNESS_SHARE} × the true edit's; where the dataset has a tracker: "
        f"object_permanence = 1, roughness ≤ the true edit's + {ROUGHNESS_MARGIN:g}",
        failure_modes="Thresholds hide near misses: read it alongside its parts. Where the dataset has no tracker, "
        "it misses what the oracle misses. A counterfactual that reaches the goal in another way than the true edit "
        "may be farther from the original and fails. The row of true_edit is below 1 where the target or the oracle "
        "is wrong.",
        version=2,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        if not isinstance(dataset, Renderer):
            return "the dataset has no true edits to compare with"
        return SemanticFlipRate().unavailable(dataset) or SSIM().unavailable(dataset)

    def score(self, case: Case) -> float:
        if video_pair(case) is None or not torch.isfinite(case.after).all():
            return math.nan
        return float(all(conditions(case)))
