"""Intermediate results that several metrics need are computed once."""

from collections import Counter

import torch

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.metrics.attributes import AttributesChanged, IdentityKept, SideEffects
from vcfe_bench.metrics.motion import ChangeOnObject, Jerk, Permanence, Roughness
from vcfe_bench.metrics.proximity import SSIM
from vcfe_bench.metrics.real_floor import COUNT
from vcfe_bench.metrics.valid_share import ValidShare
from vcfe_bench.metrics.validity import SemanticFlipRate
from vcfe_datasets.shapes.shape_moving import ShapeMoving

GOAL = ClassGoal(3)
METRICS = [
    SemanticFlipRate(),
    SSIM(),
    *(AttributesChanged(), SideEffects(), IdentityKept()),
    *(Permanence(), ChangeOnObject(), Roughness(), Jerk(), ValidShare()),
]


class Counting(ShapeMoving):
    """Counts calls of its measurements."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def track(self, sample, video):
        self.calls["track"] += 1
        return super().track(sample, video)

    def oracle(self, sample, video):
        self.calls["oracle"] += 1
        return super().oracle(sample, video)

    def attributes_of(self, sample, video):
        self.calls["attributes"] += 1
        return super().attributes_of(sample, video)

    def true_edit(self, sample, goal):
        self.calls["true edit"] += 1
        return super().true_edit(sample, goal)


def scores(dataset, sample, video) -> list[float]:
    case = Case(dataset, sample, GOAL, video, torch.eye(4)[0], torch.eye(4)[3])
    return [metric.score(case) for metric in METRICS]


def test_originals_and_true_edits_are_measured_once_for_all_counterfactuals():
    dataset = Counting()
    sample = dataset.sample("validation", 0)
    videos = [ShapeMoving().true_edit(sample, GOAL), ShapeMoving().corrupted_edit(sample, GOAL, "teleports")]
    together = [scores(dataset, sample, video) for video in videos]
    assert dataset.calls == {"track": 2 + 1 + 1 + COUNT, "oracle": 2, "attributes": 2 + 1, "true edit": 1}
    alone = [scores(ShapeMoving(), ShapeMoving().sample("validation", 0), video) for video in videos]
    assert together == alone


def test_another_dataset_or_goal_is_measured_separately():
    dataset, another = ShapeMoving(), ShapeMoving()
    sample = dataset.sample("validation", 0)
    logits = torch.eye(4)[0]
    first, second, third = (
        Case(world, sample, goal, sample.video, logits, logits)
        for world, goal in ((dataset, GOAL), (dataset, ClassGoal(2)), (another, GOAL))
    )
    assert first.original is second.original
    assert first.original is not third.original
    assert first.ideal is not second.ideal
    assert torch.equal(second.ideal.video, dataset.true_edit(sample, ClassGoal(2)))
