"""A composite metric: is a counterfactual valid, close to its original, and plausible, all at once?

No threshold is tuned, and none depends on a generator. They come from the true edit of the same video and from what a
criterion has to reject. For closeness and sharpness, the counterfactual has to be nearer to the true edit than to two
unrelated real videos and to the true edit at half its resolution; it has to start more like the original than real
videos do, and to move as steadily as they do. Real videos are those of the training split (``real_floor``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.metrics.attributes import IdentityKept
from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.motion import Roughness, permanence, roughness
from vcfe_bench.metrics.proximity import SSIM, ssim
from vcfe_bench.metrics.real_floor import COUNT, nearest_first_frame, real_floor
from vcfe_bench.metrics.sharpness import detail, laplacian_energy
from vcfe_bench.metrics.temporal import first_frame_l1
from vcfe_bench.metrics.validity import FlipRate, SemanticFlipRate
from vcfe_bench.plugins.abilities import Renderer
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric


def halved(video: Tensor) -> Tensor:
    """The frames ``[T, 3, H, W]`` at half their resolution, enlarged again: bilinear, with antialiasing."""
    height, width = video.shape[2:]
    small = F.interpolate(video, (math.ceil(height / 2), math.ceil(width / 2)), mode="bilinear", antialias=True)
    return F.interpolate(small, (height, width), mode="bilinear")


def halved_detail(footage: Footage) -> float:
    """``laplacian_energy`` of a video at half its resolution."""
    return laplacian_energy(halved(footage.video))


def conditions(case: Case) -> Iterator[bool]:
    """The conditions, evaluated lazily, cheap ones first. A path with gaps has no roughness, and fails.

    A bound is never stricter than the true edit's own value.
    """
    yield FlipRate().score(case) == 1
    yield SemanticFlipRate().score(case) == 1
    if IdentityKept().unavailable(case.dataset) is None:
        yield IdentityKept().score(case) == 1
    yield first_frame_l1(case.edited) <= max(first_frame_l1(case.ideal), nearest_first_frame(case))
    if Roughness().unavailable(case.dataset) is None:
        bound = roughness(case.ideal) + real_floor(case.dataset).roughness
        yield permanence(case.edited) == 1 if math.isnan(bound) else roughness(case.edited) <= bound
    yield case.edited.shared(detail) >= math.sqrt(case.ideal.shared(detail) * case.ideal.shared(halved_detail))
    true = case.ideal.shared(ssim)
    yield case.edited.shared(ssim) >= min(true, (true + real_floor(case.dataset).ssim) / 2)


class ValidShare(SampleMetric):
    """1 where a counterfactual meets all ``conditions``, else 0.

    It flips the target, its content meets the goal according to the oracle, its object is still the same, it is about
    as close to the original as the true edit is, starts like the true edit, is not blurred, and keeps its object in
    steady motion.
    """

    card = Card(
        name="valid_share",
        question="How many counterfactuals are valid to target and oracle, close to the original and plausible at "
        "once?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="FR = 1; semantic_FR = 1; identity_kept = 1 where the dataset declares identity; first_frame_L1 ≤ that "
        f"of the most similar of {COUNT} training videos; SSIM nearer to the true edit's than to the mean between "
        "frames of unrelated training videos; sharpness nearer, in its logarithm, to the true edit's than to that of "
        "the true edit at half its resolution; where the dataset has a tracker: object_permanence = 1, roughness ≤ the "
        "true edit's + the largest of the training videos. No bound is stricter than the true edit",
        failure_modes="Thresholds hide near misses: read it alongside its parts. Where the dataset has no tracker, "
        "it misses what the oracle misses. A counterfactual that reaches the goal in another way than the true edit "
        "may be farther from the original and fails. A generator whose autoencoder does not keep an object's shape or "
        "size limits every method that uses it: compare with identity_kept of reconstruction. The row of true_edit is "
        "below 1 where the target or the oracle is wrong.",
        version=3,
        unanswered=0.0,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        if not isinstance(dataset, Renderer):
            return "the dataset has no true edits to compare with"
        return SemanticFlipRate().unavailable(dataset) or SSIM().unavailable(dataset)

    def score(self, case: Case) -> float:
        if video_pair(case) is None or not torch.isfinite(case.after).all():
            return math.nan
        return float(all(conditions(case)))
