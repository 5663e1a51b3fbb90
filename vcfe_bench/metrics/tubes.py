"""How good are explanations by attribute and tube? The three measures of Kanehira et al. (CVPR 2019, section 4.1).

They read the artefacts ``tube_attributes`` ``[k]`` and ``tube_boxes`` ``[k, T, 4]`` of a method, take its video for the
original without the tubes, and are NaN for a method that gives none. p is the softmax of the target's outputs, c_pos
what it says of the original, c_neg the goal's class. The paper judges each pair of attribute and tube by itself, which
is what the first two do when one pair is given; of several, all are masked in the one video.
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


def changes(case: Case) -> tuple[Tensor, Tensor] | None:
    """p(c|x), and p(c|x ⊙ z) - p(c|x) once the tubes are masked, ``[K]``; None without tubes or with broken outputs."""
    if BOXES not in case.artefacts or not torch.isfinite(torch.stack([case.before, case.after])).all():
        return None
    before, after = (output.double().softmax(dim=0) for output in (case.before, case.after))
    return before, after - before


@validated(frozen=True, config={"extra": "forbid"})
class NegativeClassParams:
    """``negatives``: count only the goals among so many likeliest classes after c_pos (n of Figure 5); none: all."""

    negatives: int | None = Field(default=None, ge=1)


class NegativeClassAccuracy(SampleMetric):
    """1 where masking raises p(c_neg) so much that c_neg is among the ``top`` negatives by the rise of p, else 0.

    A record is one negative class, so the mean over the records of ``--goals all`` is the paper's mean over negatives;
    ``negatives=3`` leaves the three likeliest (Table 4), NaN the others.
    """

    Params = NegativeClassParams
    params: NegativeClassParams
    top: ClassVar[int]

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        chosen = self.params.negatives
        self.card = Card(
            name=f"negative_class@{self.top}" + (f"(n={chosen})" if chosen else ""),
            question="Do the tubes explain why it is not the goal's class, rather than why it is not another one?",
            criterion="validity",
            direction="higher",
            unit="rate",
            range=(0.0, 1.0),
            source=f"{SOURCE}, figure 5 and table 4",
            failure_modes="Ranks changes of any size, however small; of equals, none is among the best. Chance is "
            "top / (classes - 1). Asking for one goal a video gives one negative, not the mean over all.",
        )

    def score(self, case: Case) -> float:
        found, negative = changes(case), goal_class(case.goal)
        if found is None or negative is None:
            return float("nan")
        before, change = found
        others = before.argsort(descending=True, stable=True).tolist()[1:]
        if negative not in others[: self.params.negatives]:
            return float("nan")
        return float((change[others] >= change[negative]).sum() <= self.top)


class NegativeClassTop1(NegativeClassAccuracy):
    """How often the goal's class gains most of all negative classes once the tubes are masked."""

    top = 1


class NegativeClassTop3(NegativeClassAccuracy):
    """How often the goal's class is among the three negative classes that gain most once the tubes are masked."""

    top = 3


class NegativeClassTop5(NegativeClassAccuracy):
    """How often the goal's class is among the five negative classes that gain most once the tubes are masked."""

    top = 5


class PositiveDrop(SampleMetric):
    """1 where p(c_pos) is smaller once the tubes are masked, else 0."""

    card = Card(
        name="positive_drop",
        question="How often do the tubes hold evidence for what the target says?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"{SOURCE}, table 2; read as a share of videos, as of a quotient of probabilities less would be better, "
        "and the paper's method has more than its baseline",
        failure_modes="Any drop counts, however small, and masking anything lowers p(c_pos) of a sure target: read it "
        "against tubes_center.",
    )

    def score(self, case: Case) -> float:
        found = changes(case)
        if found is None:
            return float("nan")
        before, change = found
        return float(change[before.argmax()] < 0)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two tubes ``[T, 4]`` in space and time; NaN boxes have no volume."""
    shared = np.concatenate([np.fmax(first[:, :2], second[:, :2]), np.fmin(first[:, 2:], second[:, 2:])], axis=1)
    shared[np.isnan(first).any(axis=1) | np.isnan(second).any(axis=1)] = np.nan
    intersection = _volume(shared)
    union = _volume(first) + _volume(second) - intersection
    return intersection / union if union else 0.0


def _volume(boxes: np.ndarray) -> float:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return float(np.nansum(sides.prod(axis=1)))


def by_attribute(tube: np.ndarray, attributes: Mapping[str, Any]) -> dict[str, float]:
    """The greatest overlap of a tube with an object that has the attribute, for each attribute of a sample."""
    found: dict[str, float] = defaultdict(float)
    for thing in attributes["objects"]:
        share = overlap(tube, np.array(thing["boxes"]))
        for name in thing["attributes"]:
            found[name] = max(found[name], share)
    return found


class ConceptAccuracy(SampleMetric):
    """Share of pairs whose attribute is among the ``top`` attributes of the video by overlap with the tube.

    The overlap is taken over space and time. Attributes of one object have the same boxes: of equals, all have the best
    rank. A tube that meets no object with its attribute is wrong.
    """

    top: ClassVar[int]

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.card = Card(
            name=f"concept@{self.top}",
            question="Is the attribute that is named where the tube is?",
            criterion="actionability",
            direction="higher",
            unit="share of pairs",
            range=(0.0, 1.0),
            source=f"{SOURCE}, table 3",
            failure_modes="Says nothing about the target: a right name for an irrelevant object counts. NaN where the "
            "target is wrong, as in the paper, and without boxes. Many attributes in one place make it easier: read it "
            "against tubes_random.",
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
