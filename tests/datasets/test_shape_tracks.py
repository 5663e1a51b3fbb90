"""Tracks and faults of Shape-Moving."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.datasets.shape_faults import vanishes
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Sample
from vcfe_datasets.shape_moving import Scene, ShapeMoving, ShapeMovingParams, path, scene

INDICES = range(6)


@pytest.fixture(scope="module")
def dataset() -> ShapeMoving:
    return ShapeMoving()


@pytest.mark.parametrize("params", [ShapeMovingParams(), ShapeMovingParams(frames=21, size=96)])
def test_boxes_and_areas_are_those_of_the_drawn_object(params):
    dataset = ShapeMoving(params)
    area = {"disc": np.pi, "square": 4, "triangle": 2, "diamond": 2}
    for index in INDICES:
        sample = dataset.sample("test", index)
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
    sample = dataset.sample("test", 0)
    assert dataset.track(sample, torch.full_like(sample.video, 0.5)) is None


@pytest.mark.parametrize("fault", ShapeMoving.faults)
def test_a_faulty_edit_starts_as_the_true_one_and_the_oracle_refuses_it(dataset, fault):
    for index in INDICES:
        sample = dataset.sample("test", index)
        goal = ClassGoal((int(sample.label) + 1) % 4)
        video = dataset.faulty_edit(sample, goal, fault)
        assert torch.equal(video[0], sample.video[0])
        assert not torch.equal(video, dataset.true_edit(sample, goal))
        assert dataset.oracle(sample, video) is None


def test_a_teleport_changes_nothing_but_the_place_in_the_middle_third(dataset):
    for index in INDICES:
        sample = dataset.sample("test", index)
        goal = ClassGoal((int(sample.label) + 2) % 4)
        true, found = (
            dataset.track(sample, video)
            for video in (dataset.true_edit(sample, goal), dataset.faulty_edit(sample, goal, "teleports"))
        )
        offset = np.abs(found.path - true.path).sum(axis=1)
        away = np.isin(np.arange(17), np.arange(5, 11))
        np.testing.assert_allclose(offset, np.where(away, 10.0, 0.0), atol=0.2)
        np.testing.assert_allclose(found.area, true.area, rtol=0.03)


def test_what_cannot_be_rendered_is_refused(dataset):
    sample = dataset.sample("test", 0)
    with pytest.raises(ValueError, match="the faults are teleports, fades, recoloured, not melts"):
        dataset.faulty_edit(sample, ClassGoal(1), "melts")
    with pytest.raises(NotImplementedError):
        dataset.faulty_edit(sample, ValueGoal(1.0, 1.0), "fades")
