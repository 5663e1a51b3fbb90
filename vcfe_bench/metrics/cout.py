"""COUT: how soon the prediction changes when voxels of the original are replaced by the counterfactual's.

The most changed voxels are replaced first. Khorram and Fuxin, Cycle-consistent counterfactuals by latent
transformations (CVPR 2022), define it over pixels; here a voxel is one pixel of one frame with its three channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import requery
from vcfe_bench.metrics.validity import goal_class
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

BATCH = 8
"""Videos in one forward pass."""


@validated(frozen=True, config={"extra": "forbid"})
class CoutParams:
    """``steps``: number of equal parts in which the voxels are replaced."""

    steps: int = Field(default=50, ge=1)


def mixtures(original: Tensor, counterfactual: Tensor, steps: int) -> Iterator[Tensor]:
    """Videos between the two ``[T, 3, H, W]``: ``steps - 1`` of them, in batches ``[B, T, 3, H, W]``.

    Mixture k takes the share ``(k + 1) / steps`` of its voxels from the counterfactual, those with the largest absolute
    change summed over the channels.
    """
    magnitude = (counterfactual - original).abs().sum(dim=1).flatten()
    rank = torch.empty_like(magnitude, dtype=torch.long)
    rank[magnitude.argsort(descending=True, stable=True)] = torch.arange(len(magnitude))
    shape = (1, len(original), 1, *original.shape[2:])
    for shares in torch.split(torch.arange(1, steps).view(-1, 1, 1, 1, 1), BATCH):
        yield torch.where(shares * len(magnitude) > rank.view(shape) * steps, counterfactual, original)


class COUT(SampleMetric):
    """Area between the probability curves of the goal's class and of the class predicted for the original.

    Taken over the share of replaced voxels from 0 (the original) to 1 (the counterfactual), by the trapezoidal rule.
    """

    Params = CoutParams
    params: CoutParams
    needs_target = True
    card = Card(
        name="COUT",
        question="Do the largest changes suffice to change the target's prediction to the goal's class?",
        criterion="proximity",
        direction="higher",
        unit="probability",
        range=(-1.0, 1.0),
        source="Khorram & Fuxin, CVPR 2022; voxels in place of pixels",
        failure_modes="High for adversarial noise too: read it alongside semantic_FR. Half an edit is not a real "
        "video, and the prediction for it may be arbitrary: compare with the row of true_edit. NaN for goals about "
        "values, and where the goal's class was predicted for the original.",
    )

    def score(self, case: Case) -> float:
        curves = self.curves(case)
        if not curves:
            return math.nan
        goal, original = curves.values()
        return float(np.trapezoid(goal - original, dx=1 / self.params.steps))

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        """Softmax probabilities ``[steps + 1]`` of the goal's class and of the class predicted for the original."""
        return case.cached(("COUT", self.params), lambda: self._curves(case))

    @torch.no_grad()
    def _curves(self, case: Case) -> Mapping[str, np.ndarray]:
        videos, requested, predicted = video_pair(case), goal_class(case.goal), int(case.before.argmax())
        ends = torch.stack([case.before, case.after])
        if videos is None or requested in (None, predicted) or not torch.isfinite(ends).all():
            return {}
        between = [requery(case, part) for part in mixtures(*videos, self.params.steps)]
        probabilities = torch.cat([ends[:1], *between, ends[1:]]).double().softmax(dim=1)
        return {"COUT goal": probabilities[:, requested].numpy(), "COUT original": probabilities[:, predicted].numpy()}
