from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Context, Explanation, Query, Sample, Target
from vcfe_bench.plugins.registry import METHODS
from vcfe_datasets.shapes.shape_scenes import ShapeScenes
from vcfe_methods.tubes.annotated_boxes import TubesBoxes
from vcfe_methods.tubes.method import CentreParams

DATASET = ShapeScenes()
SAMPLE = DATASET.sample("validation", 1)


class Sixth(Target):
    """Predicts class 6 for every video."""

    spec = fingerprint = "sixth"

    def forward(self, video: Tensor) -> Tensor:
        return F.one_hot(torch.tensor([6]), 8).float().expand(len(video), -1)


def explained(seed: int, pairs: int = 1, sample: Sample = SAMPLE) -> Explanation:
    method = TubesBoxes(CentreParams(pairs=pairs))
    (explanation,) = method.answer([Query(sample, ClassGoal(2), seed)], Context(DATASET, Sixth()))
    return explanation


def test_every_object_and_every_attribute_of_the_dataset_is_drawn() -> None:
    boxes = [np.array(thing["boxes"]) for thing in SAMPLE.attributes["objects"]]
    drawn: Counter[int] = Counter()
    names: Counter[str] = Counter()
    for seed in range(150):
        artefacts = explained(seed).artefacts
        assert artefacts["tube_classes"].tolist() == [6, 2]
        assert artefacts["tube_boxes"].shape == (1, 17, 4)
        drawn[next(k for k, own in enumerate(boxes) if np.array_equal(own, artefacts["tube_boxes"][0]))] += 1
        names[artefacts["tube_attributes"][0]] += 1
    assert set(drawn) == set(range(len(boxes)))
    assert set(names) == set(DATASET.attributes)
    assert max(names.values()) < 30


def test_only_the_boxes_of_the_object_are_masked() -> None:
    for seed in range(5):
        explanation = explained(seed)
        left, top, right, bottom = np.rint(explanation.artefacts["tube_boxes"][0]).astype(int).T
        changed = (explanation.video != SAMPLE.video).any(dim=1)
        assert changed.any()
        for t in range(len(changed)):
            changed[t, top[t] : bottom[t], left[t] : right[t]] = False
        assert not changed.any()


def test_pairs_have_different_attributes_and_equal_queries_equal_pairs() -> None:
    first, again = explained(3, pairs=4), explained(3, pairs=4)
    assert len(set(first.artefacts["tube_attributes"])) == 4
    assert torch.equal(first.video, again.video)


def test_a_video_without_boxes_is_an_error() -> None:
    bare = replace(SAMPLE, attributes={"attributes": ["red"]})
    with pytest.raises(ValueError, match="has no boxes"):
        explained(0, sample=bare)


def test_it_runs_where_attributes_are_annotated() -> None:
    method = METHODS.build("tubes_boxes")
    assert method.supports(DATASET, Sixth(), None, ClassGoal(2)) is None
