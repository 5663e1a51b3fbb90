"""Transfer: do other networks, trained independently on the same task, predict the flip too?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.plugins.abilities import TransferTargets
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


@validated(frozen=True, config={"extra": "forbid"})
class TransferParams:
    """``targets``: specs of the other targets; by default all that belong to the dataset except the one explained."""

    targets: tuple[str, ...] = ()


class TransferFlipRate(SampleMetric):
    """Share of the other targets whose prediction meets the goal for a flipped counterfactual, not for the original.

    Taken over flipped videos, this is the transfer flip rate normalised by FR. Targets whose prediction for the
    original meets the goal already cannot be flipped and are left out; NaN where none remains.
    """

    Params = TransferParams
    params: TransferParams
    card = Card(
        name="transfer_FR",
        question="How many flips transfer to networks of other architectures?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="transferability of adversarial examples (arXiv 1611.02770); over flipped videos: transfer FR / FR",
        failure_modes="Over flipped videos only: read it alongside FR and n. Targets that learned the same shortcut "
        "agree about it, and noise may transfer between similar networks. A weak target lowers every method's rate: "
        "compare with the row of true_edit. Values for different targets are not comparable.",
        selected=True,
    )

    def other_targets(self, dataset: Dataset) -> Sequence[str]:
        known = dataset.transfer_targets if isinstance(dataset, TransferTargets) else ()
        return self.params.targets or known

    def unavailable(self, dataset: Dataset) -> str | None:
        if self.other_targets(dataset):
            return None
        return "no second target belongs to the dataset: name some with transfer_fr[targets=[...]]"

    @torch.no_grad()
    def score(self, case: Case) -> float:
        videos = video_pair(case)
        if videos is None or not flipped(case):
            return math.nan
        outputs = torch.stack([target(torch.stack(videos)) for target in case.others.values()])
        if not torch.isfinite(outputs).all():
            return math.nan
        before, after = (case.goal.met(side) for side in outputs.unbind(dim=1))
        return float(after[~before].double().mean())
