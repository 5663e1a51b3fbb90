import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.conftest import Silent, noise
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Track
from vcfe_bench.metrics.motion import ChangeOnObject, Jerk, Permanence, Roughness, unsteadiness
from vcfe_datasets.shapes.shape_moving import ShapeMoving

METRICS = [Permanence(), ChangeOnObject(), Roughness(), Jerk()]
FRAMES = 9


def at(path: np.ndarray, size: float = 4.0) -> Track:
    """A square that moves along ``path [T, 2]``."""
    return Track(path, np.full(len(path), size**2), np.hstack([path - size / 2, path + size / 2]))


def line(*velocity: float) -> np.ndarray:
    return np.array([16.0, 16.0]) + np.arange(FRAMES)[:, None] * np.array(velocity)


class Tracked(Silent):
    """Tracks the object at one position in originals, which are black, and at another in all other videos."""

    def __init__(self, before: Track | None, after: Track | None) -> None:
        super().__init__((FRAMES, 32, 32))
        self.before, self.after = before, after

    def track(self, sample, video):
        return self.after if video.any() else self.before


BLACK = torch.zeros(FRAMES, 3, 32, 32)


@pytest.fixture
def moving(case):
    """Builds a case from tracks and a counterfactual."""

    def build(after: Track | None, video: torch.Tensor = BLACK + 1, before: Track | None = at(line(0, 0))) -> Case:  # noqa: B008
        return case(BLACK, video, dataset=Tracked(before, after))

    return build


def test_constant_velocity_is_smooth(moving):
    for metric in (Roughness(), Jerk()):
        assert metric.score(moving(at(line(1.5, -0.5)))) == pytest.approx(0, abs=1e-12)


def test_closed_forms_of_constant_acceleration_and_jerk():
    t = np.arange(FRAMES)[:, None]
    falling = at(np.hstack([0 * t, 0.5 * 0.3 * t**2]))
    speed = 0.3 * (np.arange(FRAMES - 1) + 0.5).mean()
    assert unsteadiness(falling, 2) == pytest.approx(0.3 / speed)
    assert unsteadiness(falling, 3) == pytest.approx(0, abs=1e-12)
    cubic = at(np.hstack([t**3 / 6.0, 0 * t]))
    assert unsteadiness(cubic, 3) == pytest.approx(1 / ((FRAMES - 1) ** 2 / 6))


def test_braking_has_the_roughness_of_the_definition():
    path = line(1, 0)
    path[5:] = path[4]
    mean_speed = 4 / (FRAMES - 1)
    assert unsteadiness(at(path), 2) == pytest.approx(math.sqrt(1 / (FRAMES - 2)) / mean_speed)


paths = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(FRAMES, 2)).cumsum(axis=0))


@given(paths, st.floats(1, 10), st.floats(0, 7), st.floats(-50, 50))
def test_unsteadiness_is_independent_of_scale_position_and_direction(path, scale, angle, shift):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for order in (2, 3):
        same = unsteadiness(at(scale * path @ turn + shift), order)
        assert same == pytest.approx(unsteadiness(at(path), order), rel=1e-6)


def test_an_object_that_stands_still_or_is_lost_has_no_roughness(moving):
    gap = line(1, 0)
    gap[3] = math.nan
    for metric in (Roughness(), Jerk()):
        assert math.isnan(metric.score(moving(at(line(0, 0)))))
        assert math.isnan(metric.score(moving(at(gap))))
        assert math.isnan(metric.score(moving(None)))


def test_permanence_counts_frames(moving):
    gap = line(1, 0)
    gap[2:5] = math.nan
    found = at(gap)
    found.area[2:5] = math.nan
    assert Permanence().score(moving(found)) == pytest.approx(6 / 9)
    assert Permanence().score(moving(at(line(1, 0)))) == 1
    assert Permanence().score(moving(None)) == 0


def spot(x: int, y: int) -> torch.Tensor:
    video = BLACK.clone()
    video[:, :, y, x] = 0.5
    return video


@pytest.mark.parametrize(
    ("x", "y", "share"),
    [
        (16, 16, 1),
        (26, 16, 1),
        (16, 5, 0),
        (19, 16, 1),
        (20, 16, 0),
        (29, 19, 1),
        (30, 19, 0),
        (12, 12, 1),
        (11, 12, 0),
    ],
)
def test_change_counts_at_both_positions_and_two_pixels_around(moving, x, y, share):
    aside = np.tile([26.0, 16.0], (FRAMES, 1))
    assert ChangeOnObject().score(moving(at(aside), spot(x, y))) == share


def test_change_is_weighted_by_its_magnitude(moving):
    video = spot(16, 16)
    video[:, :, 0, 0] = 1.0
    assert ChangeOnObject().score(moving(at(line(0, 0)), video)) == pytest.approx(0.5 / 1.5)


def test_noise_everywhere_has_the_share_of_the_boxes(moving):
    assert ChangeOnObject().score(moving(at(line(0, 0)), noise(0, *BLACK.shape))) == pytest.approx(64 / 1024, abs=0.01)


def test_for_a_lost_object_the_original_position_counts(moving):
    assert ChangeOnObject().score(moving(None, spot(16, 16))) == 1
    assert ChangeOnObject().score(moving(None, spot(25, 16))) == 0
    assert math.isnan(ChangeOnObject().score(moving(at(line(0, 0)), spot(16, 16), before=None)))


def test_an_unchanged_video_gives_nan(case):
    dataset = Tracked(at(line(0, 0)), None)
    assert math.isnan(ChangeOnObject().score(case(BLACK, BLACK, dataset=dataset)))


@pytest.mark.parametrize("metric", METRICS)
def test_nan_in_a_video_gives_nan(moving, metric):
    assert math.isnan(metric.score(moving(at(line(1, 0)), BLACK * math.nan)))


@pytest.mark.parametrize("metric", METRICS)
def test_datasets_without_a_tracker_are_reported(metric, silent):
    assert metric.unavailable(silent) == "the dataset tracks no object"
    assert metric.unavailable(Tracked(None, None)) is None


@pytest.mark.parametrize("index", range(4))
def test_each_corruption_is_detected_by_its_metric(case, index):
    dataset = ShapeMoving()
    sample = dataset.sample("validation", index)
    goal = ClassGoal((index + 1) % 4)

    def score(metric, video):
        return metric.score(Case(dataset, sample, goal, video, torch.zeros(4), torch.zeros(4)))

    true = dataset.true_edit(sample, goal)
    fault = {name: dataset.corrupted_edit(sample, goal, name) for name in dataset.corruptions}
    assert score(Permanence(), true) == 1
    assert score(ChangeOnObject(), true) == 1
    assert score(Roughness(), fault["teleports"]) > score(Roughness(), true) + 1
    assert score(Jerk(), fault["teleports"]) > score(Jerk(), true) + 1
    assert score(Permanence(), fault["fades"]) < 0.5
    assert score(Permanence(), fault["recoloured"]) == 8 / 17
    speckled = (true + 0.05 * noise(index, *true.shape)).clamp(0, 1)
    assert score(ChangeOnObject(), speckled) < 0.8
