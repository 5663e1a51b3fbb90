import math

import pytest
import torch

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Target
from vcfe_bench.metrics.shortcut import CauseChanged, ShortcutChanged, ShortcutFaithful
from vcfe_datasets.shapes.shape_shortcut import PARTNER, Scene, ShapeShortcut

DATASET = ShapeShortcut()
SAMPLE = DATASET.sample("test", 0)
GOAL = ClassGoal((SAMPLE.label + 1) % 4)


class Follows(Target):
    """Says the direction of the object, or the class whose partner is the distractor's direction, or what both say."""

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
def test_what_moved_is_told_apart(kind, cause, shortcut):
    assert score(CauseChanged(), edit(kind)) == cause
    assert score(ShortcutChanged(), edit(kind)) == shortcut


def test_what_got_lost_did_not_change():
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
def test_faithful_is_who_moves_what_the_target_reads_and_nothing_else(which, faithful):
    assert {kind: score(ShortcutFaithful(), edit(kind), which) for kind in faithful} == faithful


def test_where_neither_edit_convinces_the_target_there_is_no_truth():
    assert math.isnan(score(ShortcutFaithful(), edit("both"), "agreement"))
    assert math.isnan(score(ShortcutFaithful(), edit("object"), flips=False))


@pytest.mark.parametrize("metric", [CauseChanged(), ShortcutChanged(), ShortcutFaithful()])
def test_without_numbers_or_a_shortcut_there_is_nothing_to_say(metric, silent):
    assert math.isnan(score(metric, SAMPLE.video * math.nan))
    assert metric.unavailable(silent) == "the dataset has no planted shortcut"
    assert metric.unavailable(DATASET) is None
