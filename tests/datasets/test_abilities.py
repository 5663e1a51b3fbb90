"""Optional abilities: which datasets have which, and what a dataset gets for implementing one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.metrics.conftest import Silent
from vcfe_bench import interfaces
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import (
    AnnotatedAttributes,
    AttributeReader,
    Augmenter,
    Bystanders,
    Case,
    CausalAttributes,
    ControlExperiments,
    Corrupter,
    Dataset,
    GoalGroups,
    IdentityAttributes,
    KnownLabels,
    Oracle,
    PlantedShortcut,
    Renderer,
    Sample,
    Track,
    Tracker,
    TransferTargets,
)
from vcfe_bench.plugins import abilities
from vcfe_bench.plugins.abilities import training_clip
from vcfe_bench.plugins.registry import DATASETS, METRICS
from vcfe_datasets.shapes.shape_moving import ShapeMoving

ABILITIES = (
    AnnotatedAttributes,
    AttributeReader,
    Augmenter,
    Bystanders,
    CausalAttributes,
    ControlExperiments,
    Corrupter,
    GoalGroups,
    IdentityAttributes,
    KnownLabels,
    Oracle,
    PlantedShortcut,
    Renderer,
    Tracker,
    TransferTargets,
)
SHIPPED: dict[str, set[type]] = {
    "shape_moving": set(ABILITIES) - {AnnotatedAttributes, Bystanders, GoalGroups, PlantedShortcut},
    "shape_shortcut": set(ABILITIES) - {AnnotatedAttributes, Bystanders, Corrupter, GoalGroups, Tracker},
    "shape_crowd": set(ABILITIES) - {AnnotatedAttributes, Tracker},
    "shape_scenes": {AnnotatedAttributes, AttributeReader, CausalAttributes, KnownLabels, Oracle, Renderer},
    "echo_phantom": {Augmenter, KnownLabels, Oracle, Renderer, TransferTargets},
    "mead": {KnownLabels, TransferTargets},
    "ucf101_24": {AnnotatedAttributes, KnownLabels},
}
METRIC_OF = {
    Oracle: "semantic_fr",
    Tracker: "object_permanence",
    AttributeReader: "side_effects",
    Bystanders: "bystanders_kept",
    IdentityAttributes: "identity_kept",
    PlantedShortcut: "shortcut_changed",
    TransferTargets: "transfer_fr",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_abilities_of_the_shipped_datasets(name: str) -> None:
    dataset = DATASETS.build(name)
    assert {ability for ability in ABILITIES if isinstance(dataset, ability)} == SHIPPED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_methods_of_an_ability_take_the_arguments_of_its_protocol(name: str) -> None:
    cls = DATASETS.load(name)
    for ability in SHIPPED[name]:
        for member, function in inspect.getmembers(ability, inspect.isfunction):
            if not member.startswith("_"):
                own = inspect.signature(getattr(cls, member))
                assert list(own.parameters) == list(inspect.signature(function).parameters)


def test_a_dataset_of_two_methods_has_no_ability_and_every_metric_says_so(silent: Dataset) -> None:
    assert not [ability for ability in ABILITIES if isinstance(silent, ability)]
    for name in METRIC_OF.values():
        assert METRICS.build(name).unavailable(silent), name


class Stranger(Silent):
    """Written against the former base class, which declared these methods; it imports no protocol."""

    cause = ("side",)

    def oracle(self, sample, video):
        return 2

    def track(self, sample, video):
        return Track(np.zeros((3, 2)), np.ones(3), np.zeros((3, 4)))

    def attributes_of(self, sample, video):
        return {"side": "left", "size": 1.0}

    def true_edit(self, sample, goal):
        return torch.ones(3, 3, 32, 32)


def test_a_dataset_that_knows_no_protocol_is_scored_by_the_methods_it_defines() -> None:
    dataset = Stranger()
    sample = Sample("s", torch.zeros(3, 3, 32, 32), 0, 16.0)
    logits = torch.tensor([0.0, 1.0, 2.0])
    case = Case(dataset, sample, ClassGoal(2), torch.ones(3, 3, 32, 32), logits.flip(0), logits)
    assert METRICS.build("semantic_fr").score(case) == 1
    assert METRICS.build("object_permanence").score(case) == 1
    assert METRICS.build("side_effects").score(case) == 0
    assert torch.equal(case.ideal.video, torch.ones(3, 3, 32, 32))
    assert "has to stay" in METRICS.build("identity_kept").unavailable(dataset)
    assert METRICS.build("shortcut_changed").unavailable(dataset) == "the dataset has no planted shortcut"


def test_a_subclass_drops_an_ability_that_it_sets_to_none() -> None:
    class Mute(Stranger):
        oracle = None

    assert isinstance(Stranger(), Oracle)
    assert not isinstance(Mute(), Oracle)
    assert METRICS.build("semantic_fr").unavailable(Mute()) == "the dataset has no oracle"


def test_there_is_no_true_edit_without_a_renderer(silent: Dataset) -> None:
    sample = silent.sample("validation", 0)
    with pytest.raises(NotImplementedError, match="cannot render true edits"):
        _ = Case(silent, sample, ClassGoal(2), sample.video, torch.zeros(3), torch.zeros(3)).ideal


def test_clips_are_augmented_by_datasets_that_do() -> None:
    plain, sample = Silent(), Silent().sample("train", 0)
    video, label = training_clip(plain, 0, np.random.default_rng(0))
    assert torch.equal(video, sample.video)
    assert label == sample.label
    moving = ShapeMoving()
    for seed in range(4):
        video, label = training_clip(moving, 3, np.random.default_rng(seed))
        expected, answer = moving.training_clip(3, np.random.default_rng(seed))
        assert torch.equal(video, expected)
        assert label == answer


@pytest.fixture
def silent() -> Silent:
    return Silent()


def test_the_guide_lists_every_ability_with_its_members() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (`.*?`) \|", guide, re.MULTILINE))
    listed = {name: set(re.findall(r"`(\w+)`", members)) for name, members in rows.items()}
    assert listed == {
        ability.__name__: {
            member
            for protocol in ability.__mro__
            if getattr(protocol, "_is_protocol", False)
            for member in vars(protocol)
            if not member.startswith("_")
        }
        for ability in ABILITIES
    }


def test_every_ability_is_part_of_the_public_interfaces() -> None:
    own = (value for value in vars(abilities).values() if getattr(value, "__module__", "") == abilities.__name__)
    protocols = {value for value in own if getattr(value, "_is_protocol", False)}
    assert protocols == set(ABILITIES)
    assert {ability.__name__ for ability in protocols} <= set(interfaces.__all__)
