from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.squares import Squares
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Context, Explanation, Query, Sample, Target
from vcfe_datasets.shapes.shape_scenes import ShapeScenes
from vcfe_methods.tubes.method import CentreParams
from vcfe_methods.tubes.true_boxes import TubesTrue

DATASET = ShapeScenes()
RING = ("red", "translating", "blue", "turning", "disc", "pulsing", "triangle", "blinking")
OWN = [{*pair} for pair in pairwise((*RING, RING[0]))]
"""The attributes of each class: neighbours in the ring."""
SAMPLES = [DATASET.sample("test", index) for index in range(16)]


class Says(Target):
    """Sure of one class, whatever it sees."""

    spec = "says"
    fingerprint = "says"

    def __init__(self, answer: int) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, video: Tensor) -> Tensor:
        return 9.0 * F.one_hot(torch.tensor([self.answer]), len(OWN)).float().expand(len(video), -1)


def _explained(sample: Sample, answer: int, goal: int, pairs: int = 1, seed: int = 0) -> Explanation:
    method = TubesTrue(CentreParams(pairs=pairs))
    (found,) = method.answer([Query(sample, ClassGoal(goal), seed)], Context(DATASET, Says(answer)))
    assert found.artefacts["tube_classes"].tolist() == [answer, goal]
    return found


def _names(found: Explanation) -> list[str]:
    return found.artefacts["tube_attributes"].tolist()


def test_attributes_are_of_the_class_and_not_of_the_goals():
    for sample in SAMPLES:
        label = int(sample.label)
        assert _names(_explained(sample, label, (label + 1) % 8))[0] == RING[label]
        assert _names(_explained(sample, label, (label - 1) % 8))[0] == RING[(label + 1) % 8]
        drawn = {_names(_explained(sample, label, (label + 4) % 8, seed=seed))[0] for seed in range(12)}
        assert drawn == OWN[label]


def test_boxes_are_those_of_an_object_with_the_attribute():
    for sample in SAMPLES:
        label = int(sample.label)
        found = _explained(sample, label, (label + 3) % 8, pairs=9)
        assert set(_names(found)) == OWN[label]
        for name, boxes in zip(_names(found), found.artefacts["tube_boxes"], strict=True):
            owners = [thing for thing in sample.attributes["objects"] if name in thing["attributes"]]
            assert any(np.array_equal(thing["boxes"], boxes) for thing in owners)


def test_only_what_the_boxes_hold_is_masked():
    for sample in SAMPLES:
        found = _explained(sample, int(sample.label), (int(sample.label) + 4) % 8)
        left, top, right, bottom = np.rint(found.artefacts["tube_boxes"][0]).astype(int).T
        changed = (found.video != sample.video).any(dim=1)
        assert changed.any(dim=(1, 2)).all()
        for t in range(len(changed)):
            changed[t, top[t] : bottom[t], left[t] : right[t]] = False
        assert not changed.any()


def test_a_wrong_answer_without_its_attributes_is_explained_by_any_object():
    sample = SAMPLES[0]
    present = set(sample.attributes["attributes"])
    absent = next(c for c, own in enumerate(OWN) if not own & present)
    drawn = {_names(_explained(sample, absent, (absent + 1) % 8, seed=seed))[0] for seed in range(40)}
    assert len(drawn) > 2
    assert drawn <= present


def test_reasons():
    method, goal = TubesTrue(), ClassGoal(1)
    assert method.supports(DATASET, Says(0), None, goal) is None
    assert (
        method.supports(Squares(), Says(0), None, goal)
        == "the dataset does not declare which attributes define a class"
    )
