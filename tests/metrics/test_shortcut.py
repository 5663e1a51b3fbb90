import math

import pytest
import torch

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Target
from vcfe_bench.metrics.shortcut import CauseChanged, ShortcutChanged, ShortcutFaithful
from vcfe_datasets.shapes.shape_shortcut import PARTNER, Scene, ShapeShortcut

DATASET = ShapeShortcut()
SAMPLE = DATASET.sample("validation", 0)
GOAL = ClassGoal((SAMPLE.label + 1) % 4)


class Follows(Target):
    """Predicts from the object's direction, from the distractor's, or from both."""

    classes = DATASET.classes

    def __init__(self, which: str) -> None:
        super().__init__()
        self.which = which

    def forward(self, video):
        return torch.stack([self._one(each) for each in video])

    def _one(self, video):
        moves, partner = DATASET.directions(SAMPLE, video)
        believed = {"object": moves, "distractor": partner if partner is None else PARTNER.index(partner)}
        says = believed.get(self.which, moves if moves == believed["distractor"] else SAMPLE.label)
        return 9 * torch.eye(4)[says]

    @property
    def fingerprint(self):
        return self.which


def edit(kind: str) -> torch.Tensor:
    if kind == "both":
        return torch.from_numpy(DATASET.pixels(Scene.of(SAMPLE), GOAL.index, PARTNER[GOAL.index])).float() / 255
    return {
        "object": lambda: DATASET.true_edit(SAMPLE, GOAL),
        "distractor": lambda: DATASET.shortcut_edit(SAMPLE, GOAL),
        "neither": lambda: SAMPLE.video,
    }[kind]()


def score(metric, video, which="object", flips=True):
    after = torch.eye(4)[GOAL.index if flips else SAMPLE.label]
    return metric.score(Case(DATASET, SAMPLE, GOAL, video, torch.eye(4)[SAMPLE.label], after, target=Follows(which)))


@pytest.mark.parametrize(
    ("kind", "cause", "shortcut"), [("object", 1, 0), ("distractor", 0, 1), ("both", 1, 1), ("neither", 0, 0)]
)
def test_cause_and_shortcut_are_distinguished(kind, cause, shortcut):
    assert score(CauseChanged(), edit(kind)) == cause
    assert score(ShortcutChanged(), edit(kind)) == shortcut


def test_a_lost_attribute_does_not_count_as_changed():
    grey = torch.full_like(SAMPLE.video, 0.5)
    assert score(CauseChanged(), grey) == 0
    assert score(ShortcutChanged(), grey) == 0


@pytest.mark.parametrize(
    ("which", "faithful"),
    [
        ("object", {"object": 1, "distractor": 0, "both": 0, "neither": 0}),
        ("distractor", {"object": 0, "distractor": 1, "both": 0, "neither": 0}),
    ],
)
def test_faithful_means_changing_only_what_the_target_relies_on(which, faithful):
    assert {kind: score(ShortcutFaithful(), edit(kind), which) for kind in faithful} == faithful


def test_where_neither_edit_flips_the_target_there_is_no_value():
    assert math.isnan(score(ShortcutFaithful(), edit("both"), "agreement"))
    assert math.isnan(score(ShortcutFaithful(), edit("object"), flips=False))


@pytest.mark.parametrize("metric", [CauseChanged(), ShortcutChanged(), ShortcutFaithful()])
def test_videos_that_are_not_finite_and_datasets_without_a_shortcut(metric, silent):
    assert math.isnan(score(metric, SAMPLE.video * math.nan))
    assert metric.unavailable(silent) == "the dataset has no planted shortcut"
    assert metric.unavailable(DATASET) is None
