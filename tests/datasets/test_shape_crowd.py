from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from tests.datasets.crowd_corruptions import CORRUPTIONS
from vcfe_bench.goals import AvoidGoal, ClassGoal
from vcfe_bench.interfaces import Target
from vcfe_datasets.shapes.shape_crowd import (
    CLASSES,
    CLEARANCE,
    COUNT,
    DIRECTIONS,
    INDEPENDENT,
    MARGIN,
    MOVERS,
    OPPOSITE,
    PARTNER,
    Scene,
    ShapeCrowd,
    ShapeCrowdParams,
    directions,
    path,
    render,
    scene,
)

numbers = st.integers(0, COUNT - 1)
angles = st.floats(0, 2 * np.pi)


@pytest.fixture(scope="module")
def dataset() -> ShapeCrowd:
    return ShapeCrowd()


def unit(angle: float) -> np.ndarray:
    return np.array([np.sin(angle), -np.cos(angle)])


def test_video_content_is_fixed_for_ever() -> None:
    chosen = {k: directions(k, k % 8, INDEPENDENT, 1.0) for k in (0, 1, 2, 3, 31_999, 63_999)}
    pixels = np.stack([render(scene(k), DIRECTIONS[list(goes)]) for k, goes in chosen.items()])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN


GOLDEN = "143c687d0633624f14a11ae667b81bdd393fbb12f14fd8961e241e6feec1e32c"


def test_directions_are_the_classes_clockwise() -> None:
    np.testing.assert_allclose(DIRECTIONS, [unit(np.pi / 4 * k) for k in range(8)], atol=1e-15)
    assert [CLASSES[OPPOSITE[k]] for k in (0, 1, 2)] == ["down", "down-left", "left"]


@given(numbers, st.tuples(angles, angles, angles))
@settings(max_examples=300, deadline=None)
def test_movers_never_touch_each_other_or_the_border_in_any_direction(number, ways) -> None:
    content = scene(number)
    paths = [path(mover, unit(angle), 65) for mover, angle in zip(content.movers, ways, strict=True)]
    for mover, centres in zip(content.movers, paths, strict=True):
        assert centres.min() >= mover.size + MARGIN - 1e-9
        assert centres.max() <= 64 - mover.size - MARGIN + 1e-9
    for (one, first), (other, second) in itertools.combinations(zip(content.movers, paths, strict=True), 2):
        assert (abs(first - second).max(1) >= one.size + other.size + CLEARANCE - 1e-9).all()


@given(numbers, st.lists(st.integers(0, 7), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_the_first_frame_contains_no_direction(number, ways) -> None:
    one, other = (render(scene(number), DIRECTIONS[part]) for part in (ways[:3], ways[3:]))
    assert (one[0] == other[0]).all()
    assert (one[-1] == other[-1]).all() == (ways[:3] == ways[3:])


def test_red_and_blue_are_in_every_scene_and_the_third_has_another_colour() -> None:
    for number in range(100):
        content = scene(number)
        assert (content.red.colour, content.blue.colour) == ("red", "blue")
        assert content.third.colour not in ("red", "blue")


@pytest.mark.parametrize(("link", "shown"), [(0.0, 1.0), (INDEPENDENT, 1.0), (0.9, 0.5), (1.0, 1.0)])
def test_link_and_shown_are_shares(link: float, shown: float) -> None:
    labels = np.arange(8000) % 8
    red, blue, third = np.array([directions(k, k % 8, link, shown) for k in range(8000)]).T
    for follows, share in ((red == labels, shown), (blue == np.array(PARTNER)[labels], link), (third == labels, 1 / 8)):
        low, high = stats.binom.interval(1 - 1e-6, 8000, share)
        assert low <= follows.sum() <= high
    elsewhere = ((blue - np.array(PARTNER)[labels]) % 8)[blue != np.array(PARTNER)[labels]]
    if len(elsewhere):
        assert stats.chisquare(np.bincount(elsewhere, minlength=8)[1:]).pvalue > 1e-6


def test_at_the_independent_link_blue_tells_nothing() -> None:
    labels = np.arange(16_000) % 8
    table = np.zeros((8, 8))
    np.add.at(table, (labels, [directions(k, k % 8, INDEPENDENT, 1.0)[1] for k in range(16_000)]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-6


def test_every_mover_is_read_right_on_originals_and_true_edits(dataset: ShapeCrowd) -> None:
    for index in range(8):
        sample = dataset.sample("validation", index)
        expected = {f"{name}_direction": CLASSES[sample.attributes[f"{name}_direction"]] for name in MOVERS}
        expected |= {f"{name}_shape": sample.attributes[name]["shape"] for name in MOVERS}
        assert dataset.attributes_of(sample, sample.video).items() >= expected.items()
        assert dataset.oracle(sample, sample.video) == sample.label
        goal = ClassGoal((int(sample.label) + 1 + index % 7) % 8)
        edit = dataset.true_edit(sample, goal)
        expected["red_direction"] = CLASSES[goal.index]
        assert dataset.attributes_of(sample, edit).items() >= expected.items()


@pytest.mark.slow
@given(st.integers(0, 999), angles)
@settings(max_examples=25, deadline=None)
def test_bearings_are_measured_at_any_angle(index: int, angle: float) -> None:
    dataset = ShapeCrowd()
    sample = dataset.sample("validation", index)
    steps = np.stack([unit(angle), unit(2 * angle), unit(3 * angle)])
    video = torch.from_numpy(render(Scene.of(sample), steps)).float() / 255
    for k, bearing in enumerate(dataset.bearings(sample, video), 1):
        assert bearing is not None
        assert abs((bearing - np.degrees(k * angle) + 180) % 360 - 180) < 4


@pytest.mark.slow
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corrupted_mover_has_no_direction(dataset: ShapeCrowd, corruption: str) -> None:
    """The other two keep their directions if the corruption does not affect them."""
    rng = np.random.default_rng(0)
    accepted = kept = 0
    for index in range(16):
        sample = dataset.sample("validation", index)
        goes = [sample.attributes[f"{name}_direction"] for name in MOVERS]
        pixels = CORRUPTIONS[corruption](Scene.of(sample), DIRECTIONS[goes], rng)
        red, *others = dataset.bearings(sample, torch.from_numpy(pixels).float() / 255)
        accepted += red is not None
        kept += None not in others
    assert accepted == 0
    assert kept >= 14


@pytest.mark.parametrize("corruption", ShapeCrowd.corruptions)
def test_corrupted_edits_are_seen(dataset: ShapeCrowd, corruption: str) -> None:
    wrong = 0
    for index in range(4):
        sample = dataset.sample("validation", index)
        goal = ClassGoal((int(sample.label) + 3) % 8)
        before = dataset.attributes_of(sample, dataset.true_edit(sample, goal))
        after = dataset.attributes_of(sample, dataset.corrupted_edit(sample, goal, corruption))
        part = "third_direction" if corruption == "turns_bystander" else "red_direction"
        wrong += after[part] != before[part]
        others = [name for name in dataset.bystanders if name != part]
        assert [after[name] for name in others] == [before[name] for name in others]
    assert wrong == 4
    with pytest.raises(ValueError, match="the corruptions are fades"):
        dataset.corrupted_edit(sample, goal, "melts")


def test_a_shortcut_edit_turns_blue_alone(dataset: ShapeCrowd) -> None:
    for index in range(4):
        sample = dataset.sample("validation", index)
        goal = ClassGoal((int(sample.label) + 3) % 8)
        edit = dataset.attributes_of(sample, dataset.shortcut_edit(sample, goal))
        assert edit["red_direction"] == CLASSES[int(sample.label)]
        assert edit["blue_direction"] == CLASSES[PARTNER[goal.index]]
        assert edit["third_direction"] == CLASSES[sample.attributes["third_direction"]]


def test_groups_of_goals_are_turns_of_45_degrees_and_of_more() -> None:
    turns = np.degrees(np.arccos(np.clip(DIRECTIONS @ DIRECTIONS.T, -1, 1))).round()
    for label in range(8):
        assert set(ShapeCrowd.goal_groups["near"][label]) == set(np.flatnonzero(turns[label] == 45))
        assert set(ShapeCrowd.goal_groups["far"][label]) == set(np.flatnonzero(turns[label] >= 90))


def test_edits_need_one_class(dataset: ShapeCrowd) -> None:
    with pytest.raises(NotImplementedError, match="renders directions"):
        dataset.true_edit(dataset.sample("validation", 0), AvoidGoal(0))


@pytest.mark.slow
def test_training_clips_fill_the_sectors_and_keep_the_link() -> None:
    dataset = ShapeCrowd(ShapeCrowdParams(link=1.0))
    rng = np.random.default_rng(0)
    offsets = []
    for index in range(96):
        sample = dataset.sample("train", index)
        video, label = dataset.training_clip(index, rng)
        if label != sample.label:
            assert label == OPPOSITE[int(sample.label)]
            video = video.flip(0)
        assert (video[0] == sample.video[0]).all()
        red, blue, _ = dataset.bearings(sample, video)
        offsets.append((red - 45 * sample.label + 180) % 360 - 180)
        assert abs((blue - 45 * PARTNER[int(sample.label)] + 180) % 360 - 180) < 26
    assert stats.kstest(offsets, stats.uniform(-22.5, 45).cdf).pvalue > 1e-4


class Reader(Target):
    """Predicts from the direction of one mover, by the dataset's own measurement."""

    classes = CLASSES
    fingerprint = "reader"

    def __init__(self, dataset: ShapeCrowd, name: str) -> None:
        super().__init__()
        self.known = {
            dataset.sample("validation", k).video.numpy().tobytes(): dataset.sample("validation", k) for k in range(16)
        }
        self.name = name

    def forward(self, video: Tensor) -> Tensor:
        goes = [self.known[clip.numpy().tobytes()].attributes[f"{self.name}_direction"] for clip in video]
        labels = goes if self.name == "red" else [PARTNER.index(direction) for direction in goes]
        return torch.nn.functional.one_hot(torch.tensor(labels), 8).float()


def test_controls_say_which_mover_a_target_reads() -> None:
    dataset = ShapeCrowd()
    red, blue = (dataset.controls(Reader(dataset, name), 16, "validation") for name in ("red", "blue"))
    assert red["accuracy_unlinked"] == blue["follows_blue"] == 1
    assert red["follows_blue"] < 0.5
    assert blue["accuracy_unlinked"] < 0.5
