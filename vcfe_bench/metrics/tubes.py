"""Explanations by attribute and tube: the three measures of Kanehira et al. (CVPR 2019, section 4.1).

They read the artefacts ``tube_attributes`` ``[k]`` and ``tube_boxes`` ``[k, T, 4]`` of a method, take its video as the
original with the tubes masked, and are NaN for a method without tubes. p is the softmax of the target's outputs, c_pos
the class predicted for the original, c_neg the goal's class. The paper scores each pair of attribute and tube
separately. Where a method returns several pairs, its video has all tubes masked at once, and that video is what the
first two measures score; with ``each``, they mask each tube on its own, run the target, and average over the pairs.
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

from vcfe_bench.metrics.requery import requery
from vcfe_bench.metrics.validity import goal_class
from vcfe_bench.plugins.metric import Card, Case, SampleMetric
from vcfe_bench.video.masking import masked

SOURCE = "Kanehira et al., CVPR 2019, section 4.1"
ATTRIBUTES, BOXES = "tube_attributes", "tube_boxes"


def each_masked(case: Case) -> Tensor:
    """Raw outputs ``[k, K]`` of the target for the original with each of the k tubes masked on its own."""
    original = case.sample.video
    return requery(case, torch.stack([masked(original, boxes[None]) for boxes in case.artefacts[BOXES]]))


def probability_changes(case: Case, each: bool) -> tuple[Tensor, Tensor] | None:
    """p(c|x) ``[K]``, and the changes p(c|x ⊙ z) - p(c|x) ``[m, K]`` when tubes are masked.

    There is one change (m = 1) with all tubes masked at once, or, with ``each``, one per tube. None without tubes, or
    where an output is not finite.
    """
    if BOXES not in case.artefacts:
        return None
    outputs = torch.stack([case.before, *(case.shared(each_masked) if each else [case.after])])
    if not torch.isfinite(outputs).all():
        return None
    before, *after = outputs.double().softmax(dim=1)
    return before, torch.stack(after) - before


@validated(frozen=True, config={"extra": "forbid"})
class TubeParams:
    """``each``: mask each tube on its own, as in the paper, rather than all tubes of the explanation at once."""

    each: bool = False


@validated(frozen=True, config={"extra": "forbid"})
class NegativeClassParams(TubeParams):
    """``negatives``: count only goals among the n most probable classes after c_pos (Figure 5); by default all."""

    negatives: int | None = Field(default=None, ge=1)


def named(name: str, *settings: str) -> str:
    """The name of a metric with the settings that differ from the defaults.

    >>> named("positive_drop"), named("negative_class@3", "n=3", "each")
    ('positive_drop', 'negative_class@3(n=3,each)')
    """
    return f"{name}({','.join(settings)})" if settings else name


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
        negatives, self.needs_target = self.params.negatives, self.params.each
        settings = [f"n={negatives}"] * bool(negatives) + ["each"] * self.params.each
        self.card = Card(
            name=named(f"negative_class@{self.top}", *settings),
            question="Do the tubes explain why the prediction is not the goal's class, rather than some other class?",
            criterion="validity",
            direction="higher",
            unit="share of pairs" if self.params.each else "rate",
            range=(0.0, 1.0),
            source=f"{SOURCE}, figure 5 and table 4",
            failure_modes="Ranks changes of any size, however small; classes that tie all take the lowest rank. "
            "Chance is top / (classes - 1). One goal per video gives one negative class, not the mean over all.",
        )

    def score(self, case: Case) -> float:
        probabilities, negative = probability_changes(case, self.params.each), goal_class(case.goal)
        if probabilities is None or negative is None:
            return float("nan")
        before, changes = probabilities
        negatives = before.argsort(descending=True, stable=True).tolist()[1:]
        if negative not in negatives[: self.params.negatives]:
            return float("nan")
        ranks = (changes[:, negatives] >= changes[:, [negative]]).sum(dim=1)
        return float((ranks <= self.top).double().mean())


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

    Params = TubeParams
    params: TubeParams

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.needs_target = self.params.each
        self.card = Card(
            name=named("positive_drop", *["each"] * self.params.each),
            question="How often do the tubes contain evidence for the target's prediction?",
            criterion="validity",
            direction="higher",
            unit="share of pairs" if self.params.each else "rate",
            range=(0.0, 1.0),
            source=f"{SOURCE}, table 2; read as a share of videos: for a ratio of probabilities lower would be better, "
            "yet the paper's method exceeds its baseline",
            failure_modes="Any drop counts, however small, and masking anything lowers p(c_pos) of a confident target: "
            "compare with tubes_center.",
        )

    def score(self, case: Case) -> float:
        probabilities = probability_changes(case, self.params.each)
        if probabilities is None:
            return float("nan")
        before, changes = probabilities
        return float((changes[:, before.argmax()] < 0).double().mean())


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

    The overlap is taken over space and time. Attributes that tie, for instance all those of one object, take the worst
    rank of their group: an attribute is among the ``top`` if at most ``top`` attributes, itself included, overlap as
    much or more. A tube that overlaps no object with its attribute is wrong.
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
            "target's prediction is wrong, as in the paper, and without boxes. Where the m attributes of an object "
            "share its boxes, their rank is m or more: with a smaller top, the value is 0. Compare with tubes_random "
            "and tubes_true.",
            version=2,
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
        return own > 0 and sum(share >= own for share in shares.values()) <= self.top


class ConceptTop1(ConceptAccuracy):
    """How often the attribute is the one that overlaps most with the tube."""

    top = 1


class ConceptTop3(ConceptAccuracy):
    """How often the attribute is among the three that overlap most with the tube."""

    top = 3


class ConceptTop5(ConceptAccuracy):
    """How often the attribute is among the five that overlap most with the tube."""

    top = 5
