"""COUT: how soon the target turns when the counterfactual's voxels are put into the original, the most changed first.

Khorram and Fuxin, Cycle-consistent counterfactuals by latent transformations (CVPR 2022), there over pixels. A voxel is
one pixel of one frame with its three channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.metrics.requery import outputs
from vcfe_bench.metrics.validity import goal_class
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

BATCH = 8
"""Videos in one forward pass."""


@validated(frozen=True, config={"extra": "forbid"})
class CoutParams:
    """``steps``: into how many equal parts the voxels are dealt."""

    steps: int = Field(default=50, ge=1)


def mixtures(original: Tensor, counterfactual: Tensor, steps: int) -> Iterator[Tensor]:
    """What lies between the two ``[T, 3, H, W]``: ``steps - 1`` of them in batches ``[B, T, 3, H, W]``, mixture k with
    the share ``(k + 1) / steps`` of the voxels from the counterfactual, those of the greatest absolute change over the
    channels."""
    size = (counterfactual - original).abs().sum(dim=1).flatten()
    rank = torch.empty_like(size, dtype=torch.long)
    rank[size.argsort(descending=True, stable=True)] = torch.arange(len(size))
    shape = (1, len(original), 1, *original.shape[2:])
    for shares in torch.arange(1, steps).view(-1, 1, 1, 1, 1).split(BATCH):
        yield torch.where(shares * len(size) > rank.view(shape) * steps, counterfactual, original)


class COUT(SampleMetric):
    """Area between the curves of the goal's class and of the class that the target said of the original.

    Over the share of voxels put in, from 0 (the original) to 1 (the counterfactual), by the trapezoidal rule.
    """

    Params = CoutParams
    params: CoutParams
    needs_target = True
    card = Card(
        name="COUT",
        question="Do the largest changes turn the target at once, from what it said to what was asked?",
        criterion="proximity",
        direction="higher",
        unit="probability",
        range=(-1.0, 1.0),
        source="Khorram & Fuxin, CVPR 2022; voxels in place of pixels",
        failure_modes="High for adversarial noise too: read it beside semantic_FR. Half an edit is no real video, "
        "of which the target may say anything: compare with the row of true_edit. NaN for goals about values, and "
        "where the target said the goal's class of the original.",
    )

    def score(self, case: Case) -> float:
        found = self.curves(case)
        if not found:
            return math.nan
        goal, original = found.values()
        return float(np.trapezoid(goal - original, dx=1 / self.params.steps))

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        """Softmax probabilities ``[steps + 1]`` of the goal's class and of the class of the original."""
        return case.once(("COUT", self.params), lambda: self._curves(case))

    @torch.no_grad()
    def _curves(self, case: Case) -> Mapping[str, np.ndarray]:
        videos, wished, said = pair(case), goal_class(case.goal), int(case.before.argmax())
        ends = torch.stack([case.before, case.after])
        if videos is None or wished in (None, said) or not torch.isfinite(ends).all():
            return {}
        between = [outputs(case, part) for part in mixtures(*videos, self.params.steps)]
        probabilities = torch.cat([ends[:1], *between, ends[1:]]).double().softmax(dim=1)
        return {"COUT goal": probabilities[:, wished].numpy(), "COUT original": probabilities[:, said].numpy()}
