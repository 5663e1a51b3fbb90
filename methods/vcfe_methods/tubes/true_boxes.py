"""Ground truth for counterfactual tubes: the annotated boxes of an attribute that defines the class.

It gives an upper reference for the metrics of ``vcfe_bench.metrics.tubes``. The attribute is one that c_pos has and
c_neg does not have; the tube is the box, in each frame, of an object with this attribute. k such pairs are sampled. If
the video has none, because the target misclassifies it, they are sampled from all pairs in the video.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Context, Dataset, Generator, Query, Target
from vcfe_methods.tubes.method import CentreParams, Tube, TubeMethod, sampled


@runtime_checkable
class ClassAttributes(Protocol):
    """A dataset that declares the attributes that define each class, by the name of the class."""

    class_attributes: Mapping[str, frozenset[str]]


class TubesTrue(TubeMethod):
    """The annotated boxes of an attribute of the predicted class that the goal's class lacks, masked in the video."""

    Params = CentreParams

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        if not isinstance(dataset, ClassAttributes):
            return "the dataset does not declare which attributes define a class"
        return super().supports(dataset, target, generator, goal)

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        dataset = context.dataset
        assert isinstance(dataset, ClassAttributes)
        positive = int(context.target(query.sample.video[None]).argmax())
        own, other = (dataset.class_attributes[dataset.classes[c]] for c in (positive, negative))
        tubes = [
            Tube(attribute, np.array(thing["boxes"], float), float("nan"))
            for thing in query.sample.attributes["objects"]
            for attribute in thing["attributes"]
        ]
        candidates = [tube for tube in tubes if tube.attribute in own - other] or tubes
        return positive, [candidates[k] for k in sampled(query, len(candidates), self.params.pairs).tolist()]
