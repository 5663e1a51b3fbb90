"""Attributes: which measured attributes of the content change, apart from the requested one?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.plugins.abilities import AttributeReader, AttributeValue, CausalAttributes, IdentityAttributes
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

Attributes = Mapping[str, AttributeValue]


def attributes(footage: Footage) -> Attributes | None:
    """Measured attributes of a video by name; None where there is nothing to measure."""
    assert isinstance(footage.dataset, AttributeReader)
    return footage.dataset.attributes_of(footage.sample, footage.video)


def cause_of(dataset: Dataset) -> tuple[str, ...]:
    """Names of the attributes that determine the label; empty if the dataset does not say."""
    return dataset.cause if isinstance(dataset, CausalAttributes) else ()


def identity_of(dataset: Dataset) -> tuple[str, ...]:
    """Names of the attributes that no goal asks to change; empty if the dataset does not say."""
    return dataset.identity if isinstance(dataset, IdentityAttributes) else ()


def same(before: AttributeValue, after: AttributeValue) -> bool:
    """Whether an attribute is unchanged: equal, or numbers that differ by less than 1. Unmeasurable values are not.

    >>> same("red", "red"), same(3.0, 3.9), same(3.0, 4.0), same(None, None)
    (True, True, False, False)
    """
    if before is None or after is None:
        return False
    if isinstance(before, str | bool) or isinstance(after, str | bool):
        return before == after
    return abs(after - before) < 1


def changed(case: Case) -> frozenset[str] | None:
    """Names of the attributes that differ in the counterfactual; None where the original has none to measure.

    Attributes that cannot be measured in the original are left out; one that can no longer be measured has changed.
    """
    before, after = case.original.shared(attributes), case.edited.shared(attributes)
    if before is None:
        return None
    return frozenset(
        name
        for name, value in before.items()
        if value is not None and not same(value, None if after is None else after[name])
    )


class _AttributeMetric(SampleMetric):
    def unavailable(self, dataset: Dataset) -> str | None:
        return None if isinstance(dataset, AttributeReader) else "the dataset measures no attributes"

    def changes(self, case: Case) -> frozenset[str] | None:
        """As ``changed``; None also where a value of the video is not finite."""
        return None if video_pair(case) is None else case.shared(changed)


class AttributesChanged(_AttributeMetric):
    """Number of attributes that change in a flipped counterfactual, including those that determine the label."""

    card = Card(
        name="MNAC",
        question="How many attributes change, including the requested one?",
        criterion="actionability",
        direction=None,
        unit="attributes",
        range=(0.0, float("inf")),
        source="mean number of attributes changed, DiME (arXiv 2203.15636), with measured attributes in place of a "
        "network's",
        failure_modes="0 for adversarial noise, which changes nothing that can be measured: the value of the row of "
        "true_edit is right, not the lowest one. Over flipped videos only. A lost object has lost all of its "
        "attributes.",
        version=2,
        selected=True,
    )

    def score(self, case: Case) -> float:
        names = self.changes(case)
        return math.nan if names is None or not flipped(case) else float(len(names))


class SideEffects(_AttributeMetric):
    """Number of attributes that differ between counterfactual and original and do not determine the label."""

    card = Card(
        name="side_effects",
        question="How many attributes change that do not determine the label?",
        criterion="actionability",
        direction="lower",
        unit="attributes",
        range=(0.0, float("inf")),
        source="MNAC (DiME, arXiv 2203.15636) without the attributes that determine the label; over all videos",
        failure_modes="0 for edits that change nothing measurable, such as adversarial noise: read it alongside "
        "semantic_FR. Attributes that can only change together each count. A lost object has lost all of its "
        "attributes. Compare with the row of true_edit.",
        version=2,
    )

    def score(self, case: Case) -> float:
        names = self.changes(case)
        return math.nan if names is None else float(len(names.difference(cause_of(case.dataset))))


class IdentityKept(_AttributeMetric):
    """Share of the attributes that make up the object's identity that are unchanged in the counterfactual."""

    card = Card(
        name="identity_kept",
        question="Is it still the same object, with the same appearance?",
        criterion="proximity",
        direction="higher",
        unit="share of attributes",
        range=(0.0, 1.0),
        source="definition, by the attributes that the dataset measures and declares as identity",
        failure_modes="1 for a method that changes nothing. As coarse as the attributes: a slightly different shade "
        "is the same colour. A lost object has lost its identity.",
        version=2,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        reason = super().unavailable(dataset)
        if reason or identity_of(dataset):
            return reason
        return "the dataset declares no attribute that has to stay the same for every goal"

    def score(self, case: Case) -> float:
        names = self.changes(case)
        if names is None:
            return math.nan
        identity = identity_of(case.dataset)
        return 1 - len(names.intersection(identity)) / len(identity)
