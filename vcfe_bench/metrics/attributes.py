"""Attributes: which measured attributes of the content change, apart from the requested one?"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.plugins.abilities import AttributeReader, AttributeValue, CausalAttributes, IdentityAttributes
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric, SetMetric

Attributes = Mapping[str, AttributeValue]
NO_ATTRIBUTES = "the dataset measures no attributes"


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
        return None if isinstance(dataset, AttributeReader) else NO_ATTRIBUTES

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


class CorrelationDifference(SetMetric):
    """Difference between the correlations of attribute changes and the correlations of attributes in the originals.

    Sum over the attributes i that do not determine the label of ``|corr(Δa_i, Δa_q) - corr(a_i, a_q)|``, averaged over
    the attributes q that do. A category counts as one binary attribute per value; Δ is -1, 0 or 1, for a number where
    it differs by 1 or more. An attribute that never changes has no correlation with any other.
    """

    card = Card(
        name="CD",
        question="Are the attributes that change along with the label correlated with it in the data too?",
        criterion="actionability",
        direction="lower",
        unit="correlation, summed over attributes",
        range=(0.0, float("inf")),
        source="correlation difference, ACE (arXiv 2303.09962), with measured attributes in place of a network's, "
        "and the originals' correlations as those of the data",
        failure_modes="Correlations over few videos are noisy, and the noise adds up over the attributes: read it "
        "alongside n, the noise floor and the row of true_edit. Ignores how often an attribute changes. For a method "
        "that changes nothing, the value is the sum of the originals' correlations.",
        min_samples=16,
        version=2,
    )

    @property
    def network(self) -> str:
        return f"measured attributes, version {self.card.version}"

    def unavailable(self, dataset: Dataset) -> str | None:
        if not isinstance(dataset, AttributeReader):
            return NO_ATTRIBUTES
        return None if cause_of(dataset) else "no attribute of the dataset determines the label"

    def features_of(self, footage: Footage) -> np.ndarray:
        """Text ``[3, D]``, in JSON: the attributes' names, whether they determine the label, and their values."""
        measured, cause = footage.shared(attributes) or {}, cause_of(footage.dataset)
        rows = [[json.dumps(part) for part in (name, name in cause, value)] for name, value in measured.items()]
        return np.array(rows, dtype=str).reshape(-1, 3).T

    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        cause = {json.loads(name) for side in originals for name, own, _ in side.T if json.loads(own)}
        return correlation_difference(_table(originals), _table(counterfactuals), cause)


def _table(features: Sequence[np.ndarray]) -> pd.DataFrame:
    """Attributes by name, one row per video; empty where there was nothing to measure."""
    rows = [{json.loads(name): json.loads(value) for name, _, value in side.T} for side in features]
    return pd.DataFrame(rows, dtype=object)


def correlation_difference(before: pd.DataFrame, after: pd.DataFrame, cause: Collection[str]) -> float:
    """``CorrelationDifference`` of attributes by name, where row i of ``after`` is an edit of row i of ``before``.

    ``cause`` names those that determine the label. NaN where none of these, or none of the others, was measured.
    """
    data, delta = {}, {}
    for name in before:
        old, new = before[name], after.get(name, pd.Series(None, before.index, dtype=object))
        values = pd.concat([old, new]).dropna()
        if values.map(lambda value: isinstance(value, str | bool)).any():
            for value in sorted(set(values), key=str):
                data[name, value] = (old == value).astype(float)
                delta[name, value] = (new == value).astype(float) - data[name, value]
        else:
            data[name, None] = old.astype(float)
            step = new.astype(float) - data[name, None]
            delta[name, None] = np.sign(step).where(step.abs() >= 1, 0.0)
    difference = _correlations(delta.values()).sub(_correlations(data.values())).abs()
    own = [name in cause for name, _ in data]
    table = difference.to_numpy()[own][:, np.logical_not(own)]
    return float(table.sum(axis=1).mean()) if table.size else math.nan


def _correlations(columns: Iterable[pd.Series]) -> pd.DataFrame:
    """Pearson correlations ``[D, D]``, 0 where a column is constant."""
    return pd.DataFrame(dict(enumerate(columns))).corr().fillna(0.0)
