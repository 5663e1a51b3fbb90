"""Tracks and corruptions of Shape-Moving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.shape_corruptions import vanishes
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Sample
from vcfe_datasets.shapes.shape_drawing import SHAPES
from vcfe_datasets.shapes.shape_moving import CLASSES, COUNT, Scene, ShapeMoving, ShapeMovingParams, path, scene
from vcfe_datasets.shapes.shape_scenes import ShapeScenes
from vcfe_datasets.shapes.shape_shortcut import ShapeShortcut
from vcfe_datasets.shapes.shape_tracker import LEAST

INDICES = range(6)


@pytest.fixture(scope="module")
def dataset() -> ShapeMoving:
    return ShapeMoving()


@pytest.mark.parametrize("params", [ShapeMovingParams(), ShapeMovingParams(frames=21, size=96)])
def test_boxes_and_areas_are_those_of_the_drawn_object(params):
    dataset = ShapeMoving(params)
    area = {"disc": np.pi, "square": 4, "triangle": 2, "diamond": 2}
    for index in INDICES:
        sample = dataset.sample("validation", index)
        content, pixel = Scene(**sample.attributes), params.size / 64
        centres = path(content, int(sample.label), params.frames)
        found = dataset.track(sample, sample.video)
        drawn = pixel * np.hstack([centres - content.size, centres + content.size])
        assert np.abs(found.boxes - drawn).max() <= 1.5
        np.testing.assert_allclose(found.area, area[content.shape] * (content.size * pixel) ** 2, rtol=0.06)


def test_frames_without_the_object_are_gaps(dataset):
    for number in range(8):
        content = scene(number)
        pixels = vanishes(content, number % 4, np.random.default_rng(number))
        shows = (pixels != pixels[-1]).any(axis=(1, 2, 3))
        video = torch.from_numpy(pixels).float() / 255
        found = dataset.track(Sample("x", video, number % 4, 16.0, vars(content)), video)
        for rows in (found.path[:, 0], found.area, found.boxes[:, 3]):
            assert (~np.isnan(rows) == shows).all()


def test_nothing_to_see_has_no_track(dataset):
    sample = dataset.sample("validation", 0)
    assert dataset.track(sample, torch.full_like(sample.video, 0.5)) is None


@pytest.mark.parametrize("corruption", ShapeMoving.corruptions)
def test_a_corrupted_edit_starts_like_the_true_one_and_the_oracle_rejects_it(dataset, corruption):
    for index in INDICES:
        sample = dataset.sample("validation", index)
        goal = ClassGoal((int(sample.label) + 1) % 4)
        video = dataset.corrupted_edit(sample, goal, corruption)
        assert torch.equal(video[0], sample.video[0])
        assert not torch.equal(video, dataset.true_edit(sample, goal))
        assert dataset.oracle(sample, video) is None


def test_a_teleport_changes_nothing_but_the_place_in_the_middle_third(dataset):
    for index in INDICES:
        sample = dataset.sample("validation", index)
        goal = ClassGoal((int(sample.label) + 2) % 4)
        true, found = (
            dataset.track(sample, video)
            for video in (dataset.true_edit(sample, goal), dataset.corrupted_edit(sample, goal, "teleports"))
        )
        offset = np.abs(found.path - true.path).sum(axis=1)
        away = np.isin(np.arange(17), np.arange(5, 11))
        np.testing.assert_allclose(offset, np.where(away, 10.0, 0.0), atol=0.2)
        np.testing.assert_allclose(found.area, true.area, rtol=0.03)


def test_what_cannot_be_rendered_is_refused(dataset):
    sample = dataset.sample("validation", 0)
    with pytest.raises(ValueError, match="the corruptions are teleports, fades, recoloured, not melts"):
        dataset.corrupted_edit(sample, ClassGoal(1), "melts")
    with pytest.raises(NotImplementedError):
        dataset.corrupted_edit(sample, ValueGoal(1.0, 1.0), "fades")


def _close(found: dict, expected: dict) -> bool:
    """Whether all categories are equal, and all numbers (in 1/64) nearer than the least difference that counts."""
    return all(
        found[name] == value if isinstance(value, str) else abs(found[name] - value / LEAST[name]) < 0.6
        for name, value in expected.items()
    )


@given(st.integers(0, COUNT - 1), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_attributes_are_those_of_the_scene(number, label):
    """A triangle's centroid is a third of its size below the centre of its box."""
    dataset, content = ShapeMoving(), scene(number)
    video = torch.from_numpy(dataset.pixels(content, label)).float() / 255
    found = dataset.attributes_of(Sample("x", video, label, 16.0, vars(content)), video)
    low = content.size / 3 if content.shape == "triangle" else 0
    expected = {**vars(content), "y": content.y + low, "direction": CLASSES[label]}
    del expected["background"]
    assert _close(found, expected)
    assert found.keys() == expected.keys()


def test_attributes_of_a_larger_form_are_the_same():
    dataset = ShapeMoving(ShapeMovingParams(frames=33, size=128))
    for index in range(4):
        sample = dataset.sample("validation", index)
        small = ShapeMoving().sample("validation", index)
        found, other = dataset.attributes_of(sample, sample.video), ShapeMoving().attributes_of(small, small.video)
        assert all(found[n] == v if isinstance(v, str) else abs(found[n] - v) < 0.6 for n, v in other.items())


@pytest.mark.parametrize(
    ("corruption", "lost"),
    [
        ("teleports", {"direction"}),
        ("fades", {"direction", "speed"}),
        ("recoloured", {"direction", "colour", "speed"}),
    ],
)
def test_corruptions_change_the_attributes_that_they_affect(corruption, lost):
    dataset = ShapeMoving()
    for index in range(4):
        sample = dataset.sample("validation", index)
        before = dataset.attributes_of(sample, sample.video)
        found = dataset.attributes_of(sample, dataset.corrupted_edit(sample, ClassGoal(3 - index), corruption))
        assert {name for name, value in found.items() if value is None} >= lost
        assert found["shape"] == before["shape"]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_of_two_shapes_has_none_and_the_size_of_the_first(dataset, shape):
    content = replace(scene(3), shape=shape)
    video = dataset.pixels(content, 0)
    for other in set(SHAPES) - {shape}:
        mixed = video.copy()
        mixed[-2:] = dataset.pixels(replace(content, shape=other), 0)[-2:]
        mixed = torch.from_numpy(mixed).float() / 255
        found = dataset.attributes_of(Sample("x", mixed, 0, 16.0, vars(content)), mixed)
        assert found["shape"] is None
        assert found["size"] * LEAST["size"] == pytest.approx(content.size, abs=LEAST["size"] / 2)


def test_nothing_to_see_has_no_attributes():
    sample = ShapeMoving().sample("validation", 0)
    assert ShapeMoving().attributes_of(sample, sample.video[:, :, :1, :1].expand_as(sample.video)) is None


def test_object_and_distractor_have_attributes_of_their_own():
    dataset = ShapeShortcut()
    for index in range(8):
        sample = dataset.sample("validation", index)
        found = dataset.attributes_of(sample, sample.video)
        for name in ("object", "distractor"):
            own = {part.removeprefix(f"{name}_"): value for part, value in found.items() if part.startswith(name)}
            thing = sample.attributes[name]
            assert _close(own, {part: thing[part] for part in ("shape", "size", "speed")})
        assert found["object_direction"] == CLASSES[sample.label]
        assert found["distractor_direction"] == CLASSES[sample.attributes["distractor_direction"]]


def test_attributes_of_scenes_are_those_of_their_objects():
    dataset = ShapeScenes()
    for index in range(8):
        sample = dataset.sample("validation", index)
        found = dataset.attributes_of(sample, sample.video)
        assert found.pop("objects") == len(sample.attributes["objects"])
        assert [name for name, there in found.items() if there] == sample.attributes["attributes"]
        assert dataset.attributes_of(sample, 1 - sample.video) is None
