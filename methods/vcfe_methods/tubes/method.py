"""Counterfactual tubes (Kanehira et al., CVPR 2019): "it is A, not B, because *attribute* is *here*".

The explanation for c_pos, the target's prediction, against c_neg, the goal's class, consists of the k pairs of an
attribute s and a tube R with the largest counterfactuality y = σ(Δm[R]) (equation 9). ``explainer`` contains the model
that scores them, ``pooling`` the search for the best tube.

The explanation is not a video. For evaluation, a video is made from it as in section 4.1: the original with its tubes
masked. Choices made where the paper is silent:

- *Masked pixels* take the mean colour of the video. The paper sets them to zero, which is the mean for inputs with the
  mean subtracted. A fixed colour could look like a new object in some videos.
- *Number of pairs.* One by default: the paper gives no k and evaluates each pair separately, which corresponds to
  masking one tube. With more pairs, all tubes are masked in one video.
- *Random attribute.* ``tubes_random`` samples the attributes and uses the best tube of each. It isolates the benefit
  of choosing the attribute; its concept accuracy is chance level. ``tubes_center``, the paper's baseline, uses the
  centre of all frames, 32 of 112 pixels wide, and samples the attributes too.

Artefacts, for k pairs in a video of T frames: ``tube_attributes`` ``[k]``, names; ``tube_boxes`` ``[k, T, 4]``, left,
top, right, bottom in pixels, NaN in frames without the tube; ``tube_scores`` ``[k]``, Δm[R], NaN for methods without
scores; ``tube_classes`` ``[2]``, c_pos and c_neg.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import (
    AnnotatedAttributes,
    Context,
    Dataset,
    Explanation,
    FeatureTarget,
    Generator,
    Method,
    Query,
    Target,
)
from vcfe_bench.video.masking import masked
from vcfe_methods.tubes.explainer import Explainer, ExplainerRecipe, pair_of, regions, train
from vcfe_methods.tubes.pooling import best_path

CENTRE = 32 / 112
"""Sides of the centre tube, as a share of those of the frame."""


@dataclass(frozen=True)
class Tube:
    """An attribute and its tube: ``boxes`` ``[T, 4]`` in pixels, NaN in frames without it, and the ``score`` Δm[R]."""

    attribute: str
    boxes: np.ndarray
    score: float


def sampled(query: Query, candidates: int, count: int) -> Tensor:
    """Indices of ``count`` of the candidates (at most all), sampled without replacement with the query's seed."""
    return torch.randperm(candidates, generator=query.generator("attributes"))[:count]


@validated(frozen=True, config={"extra": "forbid"})
class CentreParams:
    """``pairs``: number of pairs of an attribute and a tube (k)."""

    pairs: int = Field(default=1, ge=1)


@validated(frozen=True, config={"extra": "forbid"})
class TubesParams(CentreParams):
    """``pairs``: number of pairs of an attribute and a tube (k).

    ``explainer``: file of weights from ``vcfe-bench train explainer``; if empty, those shipped for the dataset and
    target.
    """

    explainer: str = ""


class TubeMethod(Method):
    """Base of the methods: finds tubes for each query, and returns them as artefacts and as a masked video."""

    params: CentreParams

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        if not isinstance(goal, ClassGoal):
            return f"needs a goal that is a class, not {goal}"
        if not (isinstance(dataset, AnnotatedAttributes) and dataset.attributes):
            return "the dataset has no attributes that distinguish its classes"
        return super().supports(dataset, target, generator, goal)

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [self._explanation(query, context) for query in queries]

    @abstractmethod
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        """c_pos, the class that the target predicts, and the k tubes against c_neg (``negative``), best first."""

    def _explanation(self, query: Query, context: Context) -> Explanation:
        assert isinstance(query.goal, ClassGoal)
        positive, tubes = self.find(query, query.goal.index, context)
        boxes = np.stack([tube.boxes for tube in tubes])
        artefacts = {
            "tube_attributes": np.array([tube.attribute for tube in tubes]),
            "tube_boxes": boxes,
            "tube_scores": np.array([tube.score for tube in tubes]),
            "tube_classes": np.array([positive, query.goal.index]),
        }
        return Explanation(masked(query.sample.video, boxes), artefacts=artefacts)


class Tubes(TubeMethod):
    """The strongest evidence for the predicted class against the goal's class, masked in the video."""

    Params = TubesParams
    params: TubesParams

    def __init__(self, params: TubesParams | None = None) -> None:
        super().__init__(params)
        shipped = sorted(weights.ZOO.glob("tubes-*.safetensors"))
        paths = [Path(self.params.explainer)] if self.params.explainer else shipped
        fingerprints = [weights.fingerprint(Explainer.read(path)) for path in paths]
        self.fingerprint = hashlib.sha256("".join(fingerprints).encode()).hexdigest()

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        reason = super().supports(dataset, target, generator, goal)
        if reason:
            return reason
        if not isinstance(target, FeatureTarget):
            return "the target does not expose mid-level features"
        path = self._path(dataset, target)
        if not path.exists():
            return (
                f"no explainer for {target.spec} on {dataset.spec}: "
                "train one with 'vcfe-bench train explainer' and pass explainer=FILE"
            )
        if not Explainer.read(path).pair.equal(pair_of(dataset, target)):
            return f"the explainer {path.name} was trained for another target or dataset"
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        """The weights of an explainer, see ``explainer.train``."""
        if not isinstance(target, FeatureTarget):
            raise UsageError(f"target '{target.spec}' does not expose mid-level features")
        if not (isinstance(dataset, AnnotatedAttributes) and dataset.attributes):
            raise UsageError(f"dataset '{dataset.spec}' has no attributes that distinguish its classes")
        return dict(train(dataset, target, folder, ExplainerRecipe(steps=steps), log).state_dict())

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        dataset, target, video = context.dataset, context.target, query.sample.video
        assert isinstance(target, FeatureTarget)
        assert isinstance(dataset, AnnotatedAttributes)
        explainer = Explainer.read(self._path(dataset, target))
        features = target.extract(video[None])
        scales = [scale[0] for scale in features.scales]
        positive = int(features.output.argmax())  # c_pos = argmax p(c|x)
        scores, delta_m = explainer.evidence(scales, positive, negative)  # equations 3-6
        chosen = self.attributes(scores, query)
        height, width = video.shape[2:]
        tubes = [
            Tube(dataset.attributes[s], regions(path, scales, features.steps, (height, width)), float(scores[s]))
            for s, path in zip(chosen.tolist(), best_path(delta_m[chosen]), strict=True)
        ]
        return positive, tubes

    def attributes(self, scores: Tensor, query: Query) -> Tensor:
        """Indices of the k attributes of the explanation, given the score Δm[R] of the best tube of each, ``[S]``."""
        return scores.topk(min(self.params.pairs, len(scores))).indices  # equation 9

    def _path(self, dataset: Dataset, target: Target) -> Path:
        pair = "-".join(re.sub(r"[^\w.=]+", "-", spec).strip("-") for spec in (dataset.spec, target.spec))
        return Path(self.params.explainer or weights.ZOO / f"tubes-{pair}.safetensors")


class TubesRandom(Tubes):
    """Attributes sampled at random, each with its best tube."""

    def attributes(self, scores: Tensor, query: Query) -> Tensor:
        return sampled(query, len(scores), self.params.pairs)


class TubesCentre(TubeMethod):
    """The baseline of the paper: the centre of every frame, and an attribute sampled at random."""

    Params = CentreParams

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        frames, _, height, width = query.sample.video.shape
        middle, reach = np.array([width, height]) / 2, CENTRE / 2 * np.array([width, height])
        boxes = np.tile([*(middle - reach), *(middle + reach)], (frames, 1))
        positive = int(context.target(query.sample.video[None]).argmax())
        assert isinstance(context.dataset, AnnotatedAttributes)
        attributes = context.dataset.attributes
        chosen = sampled(query, len(attributes), self.params.pairs).tolist()
        return positive, [Tube(attributes[s], boxes, float("nan")) for s in chosen]
