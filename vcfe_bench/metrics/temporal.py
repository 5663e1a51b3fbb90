"""Time: does the flip depend on motion, and does the counterfactual start like the original?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vcfe_bench.core import seeds
from vcfe_bench.metrics.inputs import video_pair, with_original
from vcfe_bench.metrics.requery import all_met, flipped, requery
from vcfe_bench.metrics.validity import probability
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric


def shuffled(case: Case) -> Tensor:
    """The counterfactual's frames in a random order, ``[T, 3, H, W]``, the same order for every edit of the sample."""
    generator = torch.Generator().manual_seed(seeds.derive("shuffled frames", case.sample.id))
    return case.counterfactual[torch.randperm(len(case.counterfactual), generator=generator)]


def shuffled_output(case: Case) -> Tensor:
    """Raw output ``[1, K]`` of the target for the shuffled counterfactual."""
    return requery(case, shuffled(case)[None])


class _Shuffled(SampleMetric):
    needs_target = True

    def unavailable(self, dataset: Dataset) -> str | None:
        return "a video of one frame has no order" if dataset.shape[0] < 2 else None


class ShuffledConfidence(_Shuffled):
    """Softmax probability of the goal's class for the counterfactual with its frames in a random order."""

    card = Card(
        name="confidence_shuffled",
        question="How confident is the target in the goal's class once the frames are in a random order?",
        criterion="spatiotemporal consistency",
        direction=None,
        unit="probability",
        range=(0.0, 1.0),
        source="shuffled-frame control of action recognition; one seeded order per video",
        failure_modes="Shuffled videos are out of the target's domain, and its confidence there is arbitrary: "
        "compare with the row of true_edit. Where classes differ in appearance, a good counterfactual keeps its "
        "confidence. NaN for goals about values.",
    )

    def score(self, case: Case) -> float:
        if video_pair(case) is None:
            return math.nan
        return probability(case.shared(shuffled_output)[0], case.goal)


class ShuffledFlipLoss(_Shuffled):
    """1 where the flip is lost once the frames are in a random order, else 0; NaN without a flip."""

    card = Card(
        name="flip_lost_shuffled",
        question="How many flips depend on the order of the frames?",
        criterion="spatiotemporal consistency",
        direction=None,
        unit="rate",
        range=(0.0, 1.0),
        source="shuffled-frame control of action recognition; one seeded order per video",
        failure_modes="Over flipped videos only: read it alongside FR and n. Near 1 both for a purely temporal edit "
        "and for a fragile one; a pattern in single frames may persist. Where classes differ in appearance, a good "
        "counterfactual keeps its flip. Compare with the row of true_edit.",
        selected=True,
    )

    def score(self, case: Case) -> float:
        if video_pair(case) is None or not flipped(case):
            return math.nan
        return 1.0 - all_met(case, case.shared(shuffled_output))


class FirstFrameL1(SampleMetric):
    """Mean absolute difference between the first frames of original and counterfactual."""

    card = Card(
        name="first_frame_L1",
        question="Does the counterfactual start like the original?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="fraction of the 8-bit range",
        range=(0.0, 1.0),
        source="definition; the first frame is what an image-to-video generator is conditioned on",
        failure_modes="Zero for a method that changes nothing, and for a video that jumps away from its first frame: "
        "read it alongside the other metrics of motion. Where the classes differ in the first frame, it has to "
        "change.",
    )

    def score(self, case: Case) -> float:
        return first_frame_l1(case.edited)


def first_frame_l1(footage: Footage) -> float:
    """Mean absolute difference between the first frames of a video and its original; NaN if a value is not finite."""
    videos = footage.shared(with_original)
    return math.nan if videos is None else float((videos[0][0].double() - videos[1][0].double()).abs().mean())
