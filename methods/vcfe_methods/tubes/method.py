"""Counterfactual tubes (Kanehira et al., CVPR 2019): "it is A, not B, because *attribute* is *here*".

The explanation for c_pos, what the target says, against c_neg, the goal's class, is the k pairs of an attribute s and a
tube R with the greatest counterfactuality y = σ(Δm[R]) (equation 9). ``tubes_explainer`` holds the model that scores
them, ``tubes_pooling`` the search for the best tube.

As the explanation is no video, one is made of it: the original without its tubes, which is what the paper shows the
target to measure them (section 4.1). What the paper leaves open is settled thus:

- *What a masked pixel becomes.* The mean colour of the video. The paper puts zero, which in an input with the mean
  subtracted is the mean too; a fixed colour would be as new to some videos as an object is.
- *How many pairs.* One by default: the paper gives no k and judges each pair by itself, and a video with one tube
  masked does just that. With more, all of them are masked in one video.
- *Random attribute.* ``tubes_random`` draws the names and shows the best tube of each: what is choosing the attribute
  worth? Its concept accuracy is that of chance. ``tubes_center``, the paper's baseline, has the centre of all frames,
  32 of 112 pixels wide, and draws too.

Artefacts, for k pairs of a video of T frames: ``tube_attributes`` ``[k]``, names; ``tube_boxes`` ``[k, T, 4]``, left,
top, right, bottom in pixels, NaN where the tube is not; ``tube_scores`` ``[k]``, Δm[R] (NaN where there is none);
``tube_classes`` ``[2]``, c_pos and c_neg.
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
from vcfe_methods.tubes.explainer import Explainer, ExplainerRecipe, pair_of, regions, train
from vcfe_methods.tubes.pooling import best_path

CENTRE = 32 / 112
"""Side of the centre tube, as a share of the frame's."""


@dataclass(frozen=True)
class Tube:
    """An attribute and where it is: ``boxes`` ``[T, 4]`` in pixels, NaN in frames without; ``score`` is Δm[R]."""

    attribute: str
    boxes: np.ndarray
    score: float


def inside(boxes: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The pixels of frames of (height, width) whose middle lies in the boxes ``[T, 4]``, as bool ``[T, H, W]``."""
    left, top, right, bottom = torch.from_numpy(boxes).T[:, :, None, None]
    y, x = (torch.arange(side) + 0.5 for side in size)
    y = y[:, None]
    return (left <= x) & (x < right) & (top <= y) & (y < bottom)


def masked(video: Tensor, tubes: Sequence[Tube]) -> Tensor:
    """``[T, 3, H, W]`` with its mean colour in place of the tubes."""
    height, width = video.shape[2:]
    mask = torch.stack([inside(tube.boxes, (height, width)) for tube in tubes]).any(dim=0)
    return torch.where(mask[:, None], video.mean(dim=(0, 2, 3), keepdim=True), video)


def drawn(query: Query, attributes: int, count: int) -> Tensor:
    """``count`` different ones of so many attributes, drawn with the query's seed; all of them if there are no more."""
    return torch.randperm(attributes, generator=query.generator("attributes"))[:count]


@validated(frozen=True, config={"extra": "forbid"})
class CentreParams:
    """``pairs``: how many attributes are named (k)."""

    pairs: int = Field(default=1, ge=1)


@validated(frozen=True, config={"extra": "forbid"})
class TubesParams(CentreParams):
    """``pairs``: number of pairs (k).

    ``explainer``: weights from ``vcfe-bench train explainer``; empty for those shipped for the dataset and target.
    """

    explainer: str = ""


class TubeMethod(Method):
    """What the methods share: one tube or more for each query, as artefacts and as a video without them."""

    params: CentreParams

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        if not isinstance(goal, ClassGoal):
            return f"contrasts two classes, the goal is {goal}"
        if not isinstance(dataset, AnnotatedAttributes):
            return "the dataset has no attributes that tell its classes apart"
        return super().supports(dataset, target, generator, goal)

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [self._explanation(query, context) for query in queries]

    @abstractmethod
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        """What the target says of the video, and the k best tubes against ``negative``, best first."""

    def _explanation(self, query: Query, context: Context) -> Explanation:
        assert isinstance(query.goal, ClassGoal)
        positive, tubes = self.find(query, query.goal.index, context)
        artefacts = {
            "tube_attributes": np.array([tube.attribute for tube in tubes]),
            "tube_boxes": np.stack([tube.boxes for tube in tubes]),
            "tube_scores": np.array([tube.score for tube in tubes]),
            "tube_classes": np.array([positive, query.goal.index]),
        }
        return Explanation(masked(query.sample.video, tubes), artefacts=artefacts, evaluations={"target": 1})


class Tubes(TubeMethod):
    """The attributes and tubes that speak most for the target's class and against the goal's, masked in the video."""

    Params = TubesParams
    params: TubesParams

    def __init__(self, params: TubesParams | None = None) -> None:
        super().__init__(params)
        carried = (
            [Path(self.params.explainer)] if self.params.explainer else sorted(weights.ZOO.glob("tubes-*.safetensors"))
        )
        known = [weights.fingerprint(Explainer.read(path)) for path in carried]
        self.fingerprint = hashlib.sha256("".join(known).encode()).hexdigest()

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        reason = super().supports(dataset, target, generator, goal)
        if reason:
            return reason
        if not isinstance(target, FeatureTarget):
            return "the target shows no mid-level features"
        path = self._path(dataset, target)
        if not path.exists():
            return f"no explainer for {target.spec} on {dataset.spec}: train one and name it with explainer=FILE"
        if not Explainer.read(path).pair.equal(pair_of(dataset, target)):
            return f"the explainer {path.name} was fitted to another target or dataset"
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        """The explainer's weights, see ``tubes_explainer.train``."""
        if not isinstance(target, FeatureTarget):
            raise UsageError(f"target '{target.spec}' shows no mid-level features")
        if not isinstance(dataset, AnnotatedAttributes):
            raise UsageError(f"dataset '{dataset.spec}' has no attributes that tell its classes apart")
        return dict(train(dataset, target, folder, ExplainerRecipe(steps=steps), log).state_dict())

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        dataset, target, video = context.dataset, context.target, query.sample.video
        assert isinstance(target, FeatureTarget)
        assert isinstance(dataset, AnnotatedAttributes)
        explainer = Explainer.read(self._path(dataset, target))
        features = target.shown(video[None])
        scales = [scale[0] for scale in features.scales]
        positive = int(features.output.argmax())  # c_pos = argmax p(c|x)
        values, m = explainer.evidence(scales, positive, negative)
        best = self.named(values, query)
        height, width = video.shape[2:]
        tubes = [
            Tube(dataset.attributes[s], regions(path, scales, features.steps, (height, width)), float(values[s]))
            for s, path in zip(best.tolist(), best_path(m[best]), strict=True)
        ]
        return positive, tubes

    def named(self, values: Tensor, query: Query) -> Tensor:
        """The k attributes of an explanation, given how much the best tube of each one shows, Δm[R] ``[S]``."""
        return values.topk(min(self.params.pairs, len(values))).indices  # equation 9

    def _path(self, dataset: Dataset, target: Target) -> Path:
        pair = "-".join(re.sub(r"[^\w.=]+", "-", spec).strip("-") for spec in (dataset.spec, target.spec))
        return Path(self.params.explainer or weights.ZOO / f"tubes-{pair}.safetensors")


class TubesRandom(Tubes):
    """Attributes drawn at random, each with its best tube."""

    def named(self, values: Tensor, query: Query) -> Tensor:
        return drawn(query, len(values), self.params.pairs)


class TubesCentre(TubeMethod):
    """The baseline of the paper: the centre of every frame, and an attribute drawn at random."""

    Params = CentreParams

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        frames, _, height, width = query.sample.video.shape
        middle, reach = np.array([width, height]) / 2, CENTRE / 2 * np.array([width, height])
        boxes = np.tile([*(middle - reach), *(middle + reach)], (frames, 1))
        positive = int(context.target(query.sample.video[None]).argmax())
        assert isinstance(context.dataset, AnnotatedAttributes)
        attributes = context.dataset.attributes
        names = drawn(query, len(attributes), self.params.pairs).tolist()
        return positive, [Tube(attributes[s], boxes, float("nan")) for s in names]
