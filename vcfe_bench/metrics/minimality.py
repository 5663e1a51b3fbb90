"""Minimality: does the counterfactual change what the goal asks for, and nothing else that the dataset can measure?

These metrics are for datasets with bystanders: objects that move independently of the label.
"""

from __future__ import annotations

import math

from vcfe_bench.metrics.attributes import changed
from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.metrics.validity import SemanticFlipRate
from vcfe_bench.plugins.abilities import Bystanders, IdentityAttributes
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


def keeps(case: Case, names: tuple[str, ...]) -> bool:
    """Whether the counterfactual keeps all attributes in ``names`` that were measured of the original."""
    lost = case.shared(changed)
    return lost is not None and lost.isdisjoint(names)


class _BystanderMetric(SampleMetric):
    def unavailable(self, dataset: Dataset) -> str | None:
        return None if isinstance(dataset, Bystanders) else "the dataset has no bystanders"


class BystandersKept(_BystanderMetric):
    """1 if every bystander moves in the counterfactual as it does in the original, else 0."""

    card = Card(
        name="bystanders_kept",
        question="How often do the objects that the goal is not about move as before?",
        criterion="proximity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="attributes measured by the dataset",
        failure_modes="1 for a method that changes nothing: read it together with semantic_FR. A bystander that can no "
        "longer be tracked is not kept.",
    )

    def score(self, case: Case) -> float:
        if video_pair(case) is None:
            return math.nan
        assert isinstance(case.dataset, Bystanders)
        return float(keeps(case, case.dataset.bystanders))


class MinimalFlipRate(_BystanderMetric):
    """1 if the counterfactual flips the target, shows the goal to the oracle, keeps every bystander's motion and keeps
    the identity of every object, else 0."""

    card = Card(
        name="minimal_FR",
        question="How often does the content show the goal while everything else stays as it was?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="FR = 1, semantic_FR = 1, bystanders_kept = 1, identity_kept = 1",
        failure_modes="As strict as its strictest part: a generator that cannot keep the shape of small objects has 0 "
        "whatever the method does. Read it together with minimal_FR(motion) and the row of reconstruction.",
        unanswered=0.0,
    )
    with_identity = True

    def score(self, case: Case) -> float:
        if video_pair(case) is None:
            return math.nan
        dataset = case.dataset
        assert isinstance(dataset, Bystanders)
        if not flipped(case) or SemanticFlipRate().score(case) != 1 or not keeps(case, dataset.bystanders):
            return 0.0
        if self.with_identity and isinstance(dataset, IdentityAttributes):
            return float(keeps(case, dataset.identity))
        return 1.0


class MinimalMotionFlipRate(MinimalFlipRate):
    """1 if the counterfactual flips the target, shows the goal to the oracle and keeps every bystander's motion, else
    0."""

    card = Card(
        name="minimal_FR(motion)",
        question="How often does the content show the goal while all other motion stays as it was?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="FR = 1, semantic_FR = 1, bystanders_kept = 1",
        failure_modes="Blind to objects that change their shape, colour or size: read it together with identity_kept.",
        unanswered=0.0,
    )
    with_identity = False
