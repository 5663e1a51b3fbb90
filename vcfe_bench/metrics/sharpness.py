"""Realism: is the counterfactual as sharp as its original?"""

from __future__ import annotations

import math

from torch import Tensor

from vcfe_bench.metrics.inputs import checked, video_pair
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric


def detail(footage: Footage) -> float:
    """``laplacian_energy`` of a video."""
    return laplacian_energy(checked(footage.video))


def laplacian_energy(video: Tensor) -> float:
    """Mean square of the discrete Laplacian of the frames ``[T, 3, H, W]``, without the outermost pixels.

    >>> from torch import eye
    >>> laplacian_energy(eye(3)[None, None])  # (4 neighbours of 0) - 4 × 1, squared
    16.0
    """
    x = video.double()
    inner = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return float((around - 4 * inner).square().mean())


class Sharpness(SampleMetric):
    """Energy of the Laplacian of the counterfactual, as a share of the original's."""

    card = Card(
        name="sharpness",
        question="Is the counterfactual as sharp as the original?",
        criterion="realism",
        direction=None,
        unit="share of the original's",
        range=(0.0, math.inf),
        source="energy of the Laplacian, a measure of focus (Subbarao et al., Opt. Eng. 32, 1993)",
        failure_modes="Noise is sharp: read it alongside fine_in_space, and compare with the rows of true_edit and "
        "reconstruction. An object that leaves the frame takes its edges along. NaN where the original has no detail.",
    )

    def score(self, case: Case) -> float:
        if video_pair(case) is None:
            return math.nan
        before = case.original.shared(detail)
        return case.edited.shared(detail) / before if before > 0 else math.nan
