"""Explanations by attribute and tube: the three measures of Kanehira et al. (CVPR 2019, section 4.1).

They read the artefacts ``tube_attributes`` ``[k]`` and ``tube_boxes`` ``[k, T, 4]`` of a method, take its video as the
original with the tubes masked, and are NaN for a method without tubes. p is the softmax of the target's outputs, c_pos
the class predicted for the original, c_neg the goal's class. The paper scores each pair of attribute and tube
separately. The first two measures do so when one pair is given; with several, all are masked in the same video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.metrics.validity import goal_class
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

SOURCE = "Kanehira et al., CVPR 2019, section 4.1"
ATTRIBUTES, BOXES = "tube_attributes", "tube_boxes"


def probability_changes(case: Case) -> tuple[Tensor, Tensor] | None:
    """p(c|x), and the change p(c|x ⊙ z) - p(c|x) when the tubes are masked, both ``[K]``.

    None without tubes, or where an output is not finite.
    """
    if BOXES not in case.artefacts or not torch.isfinite(torch.stack([case.before, case.after])).all():
        return None
    before, after = (output.double().softmax(dim=0) for output in (case.before, case.after))
    return before, after - before


@validated(frozen=True, config={"extra": "forbid"})
class NegativeClassParams:
    """``negatives``: count only goals among the n most probable classes after c_pos (Figure 5); by default all."""

    negatives: int | None = Field(default=None, ge=1)


class NegativeClassAccuracy(SampleMetric):
    """1 where c_neg is among the ``top`` negative classes by increase of p when the tubes are masked, else 0.

    A record is one negative class, so the mean over the records of ``--goals all`` is the paper's mean over negatives.
    ``negatives=3`` keeps the three most probable (Table 4) and is NaN for the others.
    """

    Params = NegativeClassParams
    params: NegativeClassParams
    top: ClassVar[int]

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        negatives = self.params.negatives
        self.card = Card(
            name=f"negative_class@{self.top}" + (f"(n={negatives})" if negatives else ""),
            question="Do the tubes explain why the prediction is not the goal's class, rather than some other class?",
            criterion="validity",
            direction="higher",
            unit="rate",
            range=(0.0, 1.0),
            source=f"{SOURCE}, figure 5 and table 4",
            failure_modes="Ranks changes of any size, however small; classes that tie all take the lowest rank. "
            "Chance is top / (classes - 1). One goal per video gives one negative class, not the mean over all.",
        )

    def score(self, case: Case) -> float:
        probabilities, negative = probability_changes(case), goal_class(case.goal)
        if probabilities is None or negative is None:
            return float("nan")
        before, change = probabilities
        negatives = before.argsort(descending=True, stable=True).tolist()[1:]
        if negative not in negatives[: self.params.negatives]:
            return float("nan")
        return float((change[negatives] >= change[negative]).sum() <= self.top)


class NegativeClassTop1(NegativeClassAccuracy):
    """How often the goal's class gains most of all negative classes when the tubes are masked."""

    top = 1


class NegativeClassTop3(NegativeClassAccuracy):
    """How often the goal's class is among the three negative classes that gain most when the tubes are masked."""

    top = 3


class NegativeClassTop5(NegativeClassAccuracy):
    """How often the goal's class is among the five negative classes that gain most when the tubes are masked."""

    top = 5


class PositiveDrop(SampleMetric):
    """1 where p(c_pos) falls when the tubes are masked, else 0."""

    card = Card(
        name="positive_drop",
        question="How often do the tubes contain evidence for the target's prediction?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"{SOURCE}, table 2; read as a share of videos: for a ratio of probabilities lower would be better, "
        "yet the paper's method exceeds its baseline",
        failure_modes="Any drop counts, however small, and masking anything lowers p(c_pos) of a confident target: "
        "compare with tubes_center.",
    )

    def score(self, case: Case) -> float:
        probabilities = probability_changes(case)
        if probabilities is None:
            return float("nan")
        before, change = probabilities
        return float(change[before.argmax()] < 0)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two tubes ``[T, 4]`` in space and time; NaN boxes have no volume.

    >>> overlap(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]]))  # 2 of 6 pixels
    0.3333333333333333
    """
    shared = np.concatenate([np.fmax(first[:, :2], second[:, :2]), np.fmin(first[:, 2:], second[:, 2:])], axis=1)
    shared[np.isnan(first).any(axis=1) | np.isnan(second).any(axis=1)] = np.nan
    intersection = _volume(shared)
    union = _volume(first) + _volume(second) - intersection
    return intersection / union if union else 0.0


def _volume(boxes: np.ndarray) -> float:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return float(np.nansum(sides.prod(axis=1)))


def by_attribute(tube: np.ndarray, attributes: Mapping[str, Any]) -> dict[str, float]:
    """The largest overlap of a tube with an object that has the attribute, for each attribute of a sample."""
    overlaps: dict[str, float] = defaultdict(float)
    for thing in attributes["objects"]:
        share = overlap(tube, np.array(thing["boxes"]))
        for name in thing["attributes"]:
            overlaps[name] = max(overlaps[name], share)
    return overlaps


class ConceptAccuracy(SampleMetric):
    """Share of pairs whose attribute is among the ``top`` attributes of the video by overlap with the tube.

    The overlap is taken over space and time. Attributes of one object have the same boxes, so attributes that tie all
    take the highest rank. A tube that overlaps no object with its attribute is wrong.
    """

    top: ClassVar[int]

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = Card(
            name=f"concept@{self.top}",
            question="Is the named attribute where the tube is?",
            criterion="actionability",
            direction="higher",
            unit="share of pairs",
            range=(0.0, 1.0),
            source=f"{SOURCE}, table 3",
            failure_modes="Independent of the target: a correct name for an irrelevant object counts. NaN where the "
            "target's prediction is wrong, as in the paper, and without boxes. Easier where many attributes share a "
            "place: compare with tubes_random.",
        )

    def score(self, case: Case) -> float:
        known = ATTRIBUTES in case.artefacts and "objects" in case.sample.attributes
        if not known or int(case.before.argmax()) != case.sample.label:
            return float("nan")
        pairs = zip(case.artefacts[ATTRIBUTES].tolist(), case.artefacts[BOXES], strict=True)
        return float(np.mean([self._right(name, tube, case.sample.attributes) for name, tube in pairs]))

    def _right(self, name: str, tube: np.ndarray, attributes: Mapping[str, Any]) -> bool:
        shares = by_attribute(tube, attributes)
        own = shares.get(name, 0.0)
        return own > 0 and sum(share > own for share in shares.values()) < self.top


class ConceptTop1(ConceptAccuracy):
    """How often the attribute is one of the object that overlaps most with the tube."""

    top = 1


class ConceptTop3(ConceptAccuracy):
    """How often the attribute is among the three that overlap most with the tube."""

    top = 3


class ConceptTop5(ConceptAccuracy):
    """How often the attribute is among the five that overlap most with the tube."""

    top = 5
