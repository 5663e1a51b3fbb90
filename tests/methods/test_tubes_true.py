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
"""The attributes of each class are neighbours in the ring."""
SAMPLES = [DATASET.sample("validation", index) for index in range(16)]


class Constant(Target):
    """Predicts the same class for every video."""

    spec = "constant"
    fingerprint = "constant"

    def __init__(self, prediction: int) -> None:
        super().__init__()
        self.prediction = prediction

    def forward(self, video: Tensor) -> Tensor:
        return 9.0 * F.one_hot(torch.tensor([self.prediction]), len(OWN)).float().expand(len(video), -1)


def _explained(sample: Sample, prediction: int, goal: int, pairs: int = 1, seed: int = 0) -> Explanation:
    method = TubesTrue(CentreParams(pairs=pairs))
    (explanation,) = method.answer([Query(sample, ClassGoal(goal), seed)], Context(DATASET, Constant(prediction)))
    assert explanation.artefacts["tube_classes"].tolist() == [prediction, goal]
    return explanation


def _names(explanation: Explanation) -> list[str]:
    return explanation.artefacts["tube_attributes"].tolist()


def test_attributes_belong_to_the_predicted_class_and_not_to_the_goal():
    for sample in SAMPLES:
        label = int(sample.label)
        assert _names(_explained(sample, label, (label + 1) % 8))[0] == RING[label]
        assert _names(_explained(sample, label, (label - 1) % 8))[0] == RING[(label + 1) % 8]
        drawn = {_names(_explained(sample, label, (label + 4) % 8, seed=seed))[0] for seed in range(12)}
        assert drawn == OWN[label]


def test_boxes_are_those_of_an_object_with_the_attribute():
    for sample in SAMPLES:
        label = int(sample.label)
        explanation = _explained(sample, label, (label + 3) % 8, pairs=9)
        assert set(_names(explanation)) == OWN[label]
        for name, boxes in zip(_names(explanation), explanation.artefacts["tube_boxes"], strict=True):
            owners = [thing for thing in sample.attributes["objects"] if name in thing["attributes"]]
            assert any(np.array_equal(thing["boxes"], boxes) for thing in owners)


def test_only_the_boxes_are_masked():
    for sample in SAMPLES:
        explanation = _explained(sample, int(sample.label), (int(sample.label) + 4) % 8)
        left, top, right, bottom = np.rint(explanation.artefacts["tube_boxes"][0]).astype(int).T
        changed = (explanation.video != sample.video).any(dim=1)
        assert changed.any(dim=(1, 2)).all()
        for t in range(len(changed)):
            changed[t, top[t] : bottom[t], left[t] : right[t]] = False
        assert not changed.any()


def test_any_object_explains_a_wrong_prediction_without_its_attributes():
    sample = SAMPLES[0]
    present = set(sample.attributes["attributes"])
    absent = next(c for c, own in enumerate(OWN) if not own & present)
    drawn = {_names(_explained(sample, absent, (absent + 1) % 8, seed=seed))[0] for seed in range(40)}
    assert len(drawn) > 2
    assert drawn <= present


def test_unsupported_datasets_have_a_reason():
    method, goal = TubesTrue(), ClassGoal(1)
    assert method.supports(DATASET, Constant(0), None, goal) is None
    assert (
        method.supports(Squares(), Constant(0), None, goal)
        == "the dataset does not declare which attributes define a class"
    )
