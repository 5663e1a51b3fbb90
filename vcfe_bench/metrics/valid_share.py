"""One number for what a counterfactual has to be all at once: valid, meant, close and believable."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.metrics.motion import Roughness, permanence, roughness
from vcfe_bench.metrics.proximity import SSIM, ssim
from vcfe_bench.metrics.sharpness import detail
from vcfe_bench.metrics.temporal import first_frame_l1
from vcfe_bench.metrics.validity import FlipRate, SemanticFlipRate
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

CLOSE = 0.9
"""Least SSIM to the original, as a share of the true edit's."""
START = 0.02
"""How much farther than the true edit's the first frame may be from the original's, in L1. An autoencoder costs about
0.01; another object on a sixteenth of the frame costs more."""
SHARP = 0.3
"""Least energy of the Laplacian, as a share of the true edit's. The embedded autoencoder keeps 0.4 or more, a Gaussian
blur of 0.7 pixels 0.15 to 0.28."""
ROUGHER = 1.0
"""How much greater than the true edit's the roughness may be. Braking at the border, which the true edit may do or not,
costs at most 0.83 in a motion over a third of the clip; a jump by half an object costs 1.5 or more."""


def demands(case: Case) -> Iterator[bool]:
    """What has to hold, one after the other, the cheap ones first. A path with gaps has no roughness, and fails."""
    yield FlipRate().score(case) == 1
    yield SemanticFlipRate().score(case) == 1
    yield first_frame_l1(case.edited) <= first_frame_l1(case.ideal) + START
    if Roughness().unavailable(case.dataset) is None:
        bound = roughness(case.ideal) + ROUGHER
        yield permanence(case.edited) == 1 if math.isnan(bound) else roughness(case.edited) <= bound
    yield case.edited.shared(detail) >= SHARP * case.ideal.shared(detail)
    yield case.edited.shared(ssim) >= CLOSE * case.ideal.shared(ssim)


class ValidShare(SampleMetric):
    """1 where a counterfactual flips the target, shows the goal to the oracle, is about as close to the original as the
    true edit is, starts where it starts, is not blurred, and keeps its object in steady motion; else 0."""

    card = Card(
        name="valid_share",
        question="How many counterfactuals are valid, mean what they say, stay close and stay believable, all at once?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"FR = 1; semantic_FR = 1; SSIM ≥ {CLOSE} × the true edit's; first_frame_L1 ≤ the true edit's + "
        f"{START}; sharpness ≥ {SHARP} × the true edit's; where the dataset tracks: object_permanence = 1, "
        f"roughness ≤ the true edit's + {ROUGHER:g}",
        failure_modes="Thresholds hide how near a miss was: read it beside its parts. As blind as the oracle where the "
        "dataset has no tracker. A counterfactual that means the goal in another way than the true edit may be farther "
        "from the original, and is refused. The row of true_edit is below 1 where the target or the oracle errs.",
        version=2,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        if not isinstance(dataset, Renderer):
            return "the dataset has no true edits to compare with"
        return SemanticFlipRate().unavailable(dataset) or SSIM().unavailable(dataset)

    def score(self, case: Case) -> float:
        if pair(case) is None or not torch.isfinite(case.after).all():
            return math.nan
        return float(all(demands(case)))
