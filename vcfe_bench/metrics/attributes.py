"""Attributes: what changes in the content beside what was asked, as the dataset measures it?"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.metrics.requery import flipped
from vcfe_bench.plugins.abilities import AttributeReader, AttributeValue, CausalAttributes, IdentityAttributes
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric, SetMetric

Attributes = Mapping[str, AttributeValue]
NO_ATTRIBUTES = "the dataset measures no attributes"


def attributes(footage: Footage) -> Attributes | None:
    """What a video is like by name; None where there is nothing to measure."""
    assert isinstance(footage.dataset, AttributeReader)
    return footage.dataset.attributes_of(footage.sample, footage.video)


def cause_of(dataset: Dataset) -> tuple[str, ...]:
    """Names of the attributes that determine the label; empty if the dataset does not say."""
    return dataset.cause if isinstance(dataset, CausalAttributes) else ()


def identity_of(dataset: Dataset) -> tuple[str, ...]:
    """Names of the attributes that no goal asks to change; empty if the dataset does not say."""
    return dataset.identity if isinstance(dataset, IdentityAttributes) else ()


def same(before: AttributeValue, after: AttributeValue) -> bool:
    """Whether an attribute is as it was; numbers are when they differ by less than 1. What cannot be told is not."""
    if before is None or after is None:
        return False
    if isinstance(before, str | bool) or isinstance(after, str | bool):
        return before == after
    return abs(after - before) < 1


def changed(case: Case) -> frozenset[str] | None:
    """Names of the attributes that the counterfactual does not keep; None where the original's cannot be told.

    Attributes that cannot be told of the original are left out; one that can no longer be told has changed.
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
        """``changed``, None where a value of the video is not finite."""
        return None if pair(case) is None else case.shared(changed)


class AttributesChanged(_AttributeMetric):
    """Number of attributes that a flipped counterfactual does not keep, that of the label included."""

    card = Card(
        name="MNAC",
        question="How many attributes change, the one that was asked for included?",
        criterion="actionability",
        direction=None,
        unit="attributes",
        range=(0.0, float("inf")),
        source="mean number of attributes changed, DiME (arXiv 2203.15636), with measured attributes in place of a "
        "network's",
        failure_modes="0 for adversarial noise, which changes nothing that can be measured: as much as the row of "
        "true_edit is right, not as little as possible. Over flipped videos only. A lost object has lost all of its "
        "attributes.",
        version=2,
    )

    def score(self, case: Case) -> float:
        found = self.changes(case)
        return math.nan if found is None or not flipped(case) else float(len(found))


class SideEffects(_AttributeMetric):
    """Number of attributes beside those of the label that differ between counterfactual and original."""

    card = Card(
        name="side_effects",
        question="How many attributes change that have nothing to do with the label?",
        criterion="actionability",
        direction="lower",
        unit="attributes",
        range=(0.0, float("inf")),
        source="MNAC (DiME, arXiv 2203.15636) without the attributes that make the label; over all videos",
        failure_modes="0 for whatever changes nothing that can be measured, such as adversarial noise: read it beside "
        "semantic_FR. Attributes that can only change together count each. A lost object has lost all of its "
        "attributes. Compare with the row of true_edit.",
        version=2,
    )

    def score(self, case: Case) -> float:
        found = self.changes(case)
        return math.nan if found is None else float(len(found.difference(cause_of(case.dataset))))


class IdentityKept(_AttributeMetric):
    """Share of the attributes that make the object that object which the counterfactual keeps."""

    card = Card(
        name="identity_kept",
        question="Is it still the same object, of the same looks?",
        criterion="proximity",
        direction="higher",
        unit="share of attributes",
        range=(0.0, 1.0),
        source="definition, by the attributes that the dataset measures and calls its identity",
        failure_modes="1 for a method that does nothing. As coarse as the attributes: a slightly other shade is the "
        "same colour. A lost object has lost its identity.",
        version=2,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        reason = super().unavailable(dataset)
        return reason or (None if identity_of(dataset) else "no attribute of the dataset has to stay whatever is asked")

    def score(self, case: Case) -> float:
        found = self.changes(case)
        if found is None:
            return math.nan
        identity = identity_of(case.dataset)
        return 1 - len(found.intersection(identity)) / len(identity)


class CorrelationDifference(SetMetric):
    """How differently attributes change together with the label's from how they go together in the originals.

    Sum over the attributes i beside the label's of ``|corr(Δa_i, Δa_q) - corr(a_i, a_q)|``, mean over those of the
    label q. A category counts as one attribute per value, there or not; Δ is -1, 0 or 1, a number's where it differs by
    1 or more. What never changes is correlated with nothing.
    """

    card = Card(
        name="CD",
        question="Does what changes along with the label go along with it in the data too?",
        criterion="actionability",
        direction="lower",
        unit="correlation, summed over attributes",
        range=(0.0, float("inf")),
        source="correlation difference, ACE (arXiv 2303.09962), with measured attributes in place of a network's, and "
        "the originals' correlations as those of the data",
        failure_modes="Correlations of few videos are noise, which adds up over the attributes: read it beside n, "
        "the floor, and the row of true_edit. Blind to how often an attribute changes. A method that changes nothing "
        "has the originals' correlations as its difference.",
        min_samples=16,
        version=2,
    )

    @property
    def network(self) -> str:
        return f"measured attributes, version {self.card.version}"

    def unavailable(self, dataset: Dataset) -> str | None:
        if not isinstance(dataset, AttributeReader):
            return NO_ATTRIBUTES
        return None if cause_of(dataset) else "no attribute of the dataset makes the label"

    def features_of(self, footage: Footage) -> np.ndarray:
        """Text ``[3, D]``, in JSON: the attributes' names, whether they make the label, and their values."""
        found, cause = footage.shared(attributes) or {}, cause_of(footage.dataset)
        rows = [[json.dumps(part) for part in (name, name in cause, value)] for name, value in found.items()]
        return np.array(rows, dtype=str).reshape(-1, 3).T

    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        cause = {json.loads(name) for side in originals for name, own, _ in side.T if json.loads(own)}
        return correlation_difference(_table(originals), _table(counterfactuals), cause)


def _table(features: Sequence[np.ndarray]) -> pd.DataFrame:
    """Attributes by name, one row a video; empty where there was nothing to measure."""
    rows = [{json.loads(name): json.loads(value) for name, _, value in side.T} for side in features]
    return pd.DataFrame(rows, dtype=object)


def correlation_difference(before: pd.DataFrame, after: pd.DataFrame, cause: Collection[str]) -> float:
    """``CorrelationDifference`` of attributes by name, row i of ``after`` an edit of row i of ``before``.

    ``cause`` names those that make the label. NaN where none of them, or none beside them, was measured.
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
