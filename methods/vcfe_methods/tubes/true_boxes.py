"""What the truth gives in place of counterfactual tubes: the annotated boxes of an attribute that makes the class.

What does a right answer get in the measures of ``vcfe_bench.metrics.tubes``? Here the attribute is one of those that
c_pos has and c_neg has not, and the tube is the box of an object with it, frame by frame. Of several such pairs k are
drawn; where the video has none, because the target is wrong about its class, of all pairs in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Context, Dataset, Generator, Query, Target
from vcfe_methods.tubes.method import CentreParams, Tube, TubeMethod, drawn


@runtime_checkable
class ClassAttributes(Protocol):
    """A dataset that knows the attributes that make each class, by its name."""

    class_attributes: Mapping[str, frozenset[str]]


class TubesTrue(TubeMethod):
    """The annotated boxes of an attribute that the target's class has and the goal's has not, masked in the video."""

    Params = CentreParams

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        if not isinstance(dataset, ClassAttributes):
            return "the dataset does not say which attributes make a class"
        return super().supports(dataset, target, generator, goal)

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        dataset = context.dataset
        assert isinstance(dataset, ClassAttributes)
        positive = int(context.target(query.sample.video[None]).argmax())
        own, other = (dataset.class_attributes[dataset.classes[c]] for c in (positive, negative))
        pairs = [
            Tube(name, np.array(thing["boxes"], float), float("nan"))
            for thing in query.sample.attributes["objects"]
            for name in thing["attributes"]
        ]
        decisive = [tube for tube in pairs if tube.attribute in own - other] or pairs
        return positive, [decisive[k] for k in drawn(query, len(decisive), self.params.pairs).tolist()]
