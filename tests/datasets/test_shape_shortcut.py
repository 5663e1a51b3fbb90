from __future__ import annotations

import hashlib
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor

from vcfe_bench.goals import AvoidGoal, ClassGoal
from vcfe_bench.interfaces import Sample, Target
from vcfe_datasets.shapes.shape_drawing import COLOURS
from vcfe_datasets.shapes.shape_moving import DIRECTIONS, OPPOSITE, path
from vcfe_datasets.shapes.shape_shortcut import (
    CLEARANCE,
    COUNT,
    DISTRACTOR_COLOURS,
    INDEPENDENT,
    OBJECT_COLOURS,
    PARTNER,
    Scene,
    ShapeShortcut,
    ShapeShortcutParams,
    distractor_direction,
    object_direction,
    scene,
)

numbers = st.integers(0, COUNT - 1)
PAIRS = tuple(itertools.product(range(4), range(4)))


@pytest.fixture(scope="module")
def dataset() -> ShapeShortcut:
    return ShapeShortcut()


def _unlinked() -> ShapeShortcut:
    return ShapeShortcut(ShapeShortcutParams(link=INDEPENDENT))


def test_video_content_never_changes():
    directions = {k: (k % 4, distractor_direction(k, k % 4, INDEPENDENT)) for k in (0, 1, 2, 3, 31_999, 63_999)}
    pixels = np.stack([ShapeShortcut().pixels(scene(k), *pair) for k, pair in directions.items()])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN


GOLDEN = "79f0ffd50ab9477e750b1ca669daa2452402ff7ea7285c3a86b26af8d4e88d0a"


def test_splits_are_balanced_disjoint_and_complete(dataset):
    seen = {split: [dataset.number(split, i) for i in range(dataset.size(split))] for split in ("train", "validation")}
    assert sorted(seen["train"] + seen["validation"]) == list(range(COUNT))
    assert len(seen["train"]) == 4 * len(seen["validation"])
    for members in seen.values():
        assert np.bincount(np.array(members) % 4).tolist() == [len(members) // 4] * 4
    assert [dataset.sample("validation", index).label for index in range(8)] == [0, 1, 2, 3] * 2


@given(numbers)
@settings(max_examples=25, deadline=None)
def test_first_frame_is_the_same_for_all_directions(number):
    videos = [ShapeShortcut().pixels(scene(number), *pair) for pair in PAIRS]
    assert all((videos[0][0] == video[0]).all() for video in videos)
    assert all((one[-1] != other[-1]).any() for one, other in itertools.combinations(videos, 2))


@given(numbers)
@settings(max_examples=200, deadline=None)
def test_the_two_never_meet_and_have_room_to_move(number):
    content = scene(number)
    objects, distractors = ([path(thing, k, 65) for k in range(4)] for thing in (content.object, content.distractor))
    reach = content.object.size + content.distractor.size
    for (first, second), (label, direction) in zip(itertools.product(objects, distractors), PAIRS, strict=True):
        assert (abs(first - second).max(1) >= reach + CLEARANCE - 1e-9).all()
        for thing, centres, k in ((content.object, first, label), (content.distractor, second, direction)):
            shift = centres[-1] - centres[0]
            assert abs(shift).max() >= 10 - 1e-9
            assert (np.sign(shift) == DIRECTIONS[k]).all()
            assert ((centres >= thing.size - 1e-9) & (centres <= 64 - thing.size + 1e-9)).all()


@given(numbers)
@settings(max_examples=200, deadline=None)
def test_object_and_distractor_are_distinguishable_by_colour_and_size(number):
    content = scene(number)
    assert content.object.colour in OBJECT_COLOURS
    assert content.distractor.colour in DISTRACTOR_COLOURS
    assert set(OBJECT_COLOURS) | set(DISTRACTOR_COLOURS) == set(COLOURS)
    assert not set(OBJECT_COLOURS) & set(DISTRACTOR_COLOURS)
    areas = {"disc": np.pi, "square": 4, "triangle": 2, "diamond": 2}
    small, large = (areas[thing.shape] * thing.size**2 for thing in (content.object, content.distractor))
    assert large > small
    assert content.distractor.size >= 1.5 * content.object.size
    assert content.distractor.speed > content.object.speed


def _directions(link: float, count: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % 4
    return labels, np.array([distractor_direction(k, k % 4, link) for k in range(count)])


@pytest.mark.parametrize("link", [0.0, 0.25, 0.6, 1.0])
def test_link_is_the_share_of_distractors_that_follow(link):
    labels, directions = _directions(link)
    follows = directions == np.array(PARTNER)[labels]
    low, high = stats.binom.interval(1 - 1e-6, len(labels), link)
    assert low <= follows.sum() <= high
    others = (directions - np.array(PARTNER)[labels])[~follows] % 4
    if len(others):
        assert stats.chisquare(np.bincount(others, minlength=4)[1:]).pvalue > 1e-6


def test_a_link_of_one_quarter_is_independence():
    labels, directions = _directions(INDEPENDENT)
    table = np.zeros((4, 4), int)
    np.add.at(table, (labels, directions), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3
    labels, directions = _directions(0.4)
    np.add.at(table := np.zeros((4, 4), int), (labels, directions), 1)
    assert stats.chi2_contingency(table).pvalue < 1e-6


@pytest.mark.parametrize("shown", [0.0, 0.5, 1.0])
def test_shown_is_the_share_of_objects_that_move_in_the_direction_of_the_label(shown):
    labels = np.arange(8000) % 4
    directions = np.array([object_direction(k, k % 4, shown) for k in range(8000)])
    low, high = stats.binom.interval(1 - 1e-6, len(labels), shown)
    assert low <= (directions == labels).sum() <= high
    others = (directions - labels)[directions != labels] % 4
    if len(others):
        assert stats.chisquare(np.bincount(others, minlength=4)[1:]).pvalue > 1e-6


def test_labels_that_the_object_does_not_bear_out_keep_their_distractor():
    doubtful = ShapeShortcut(ShapeShortcutParams(shown=0.0))
    for index in range(8):
        sample = doubtful.sample("validation", index)
        assert sample.attributes["object_direction"] != sample.label
        found = (sample.attributes["object_direction"], PARTNER[sample.label])
        assert doubtful.directions(sample, sample.video) == found
        assert doubtful.moved(sample, sample.video) == "neither"
        goal = ClassGoal((sample.label + 1) % 4)
        edit = doubtful.shortcut_edit(sample, goal)
        assert doubtful.directions(sample, edit) == (found[0], PARTNER[goal.index])


def test_the_link_changes_distractors_only(dataset):
    for index in range(8):
        one, other = dataset.sample("validation", index), _unlinked().sample("validation", index)
        assert one.label == other.label
        assert Scene.of(one) == Scene.of(other)
        assert torch.equal(one.video[0], other.video[0])


def test_attributes_are_json_and_give_the_scene_back(dataset):
    sample = dataset.sample("validation", 2)
    read = Sample("", sample.video, sample.label, 16.0, json.loads(json.dumps(sample.attributes)))
    assert Scene.of(read) == scene(dataset.number("validation", 2))


@pytest.mark.slow
def test_both_are_followed_on_originals_and_on_both_kinds_of_edits():
    dataset, right = _unlinked(), 0
    for index in range(100):
        sample = dataset.sample("validation", index)
        distractor = sample.attributes["distractor_direction"]
        goal = ClassGoal((sample.label + 1 + index // 4 % 3) % 4)
        true, shortcut = dataset.true_edit(sample, goal), dataset.shortcut_edit(sample, goal)
        right += dataset.directions(sample, sample.video) == (sample.label, distractor)
        right += dataset.directions(sample, true) == (goal.index, distractor)
        right += dataset.directions(sample, shortcut) == (sample.label, PARTNER[goal.index])
    assert right >= 0.99 * 300


def _things(frame: Tensor, threshold: float) -> tuple[np.ndarray, list[int]]:
    """Labelled regions of what differs from the background, and their labels, largest bounding box first."""
    labels, count = ndimage.label((frame - frame[:, :1, :1]).abs().amax(0).numpy() > threshold)
    assert count == 2
    sides = [max(edge.stop - edge.start for edge in box) for box in ndimage.find_objects(labels)]
    return labels, [1, 2] if sides[0] > sides[1] else [2, 1]


def _centres(frame: Tensor) -> np.ndarray:
    """Centres (x, y) of the distractor and the object."""
    labels, order = _things(frame, 0.15)
    return np.array(ndimage.center_of_mass(labels > 0, labels, order))[:, ::-1]


@pytest.mark.parametrize("kind", ["true_edit", "shortcut_edit"])
def test_edits_move_what_they_say(dataset, kind):
    for index in range(12):
        sample = dataset.sample("validation", index)
        goal = ClassGoal((sample.label + 1) % 4)
        edit = getattr(dataset, kind)(sample, goal)
        distractor, thing = np.sign((_centres(edit[-1]) - _centres(edit[0])).round())
        partner = PARTNER[goal.index] if kind == "shortcut_edit" else PARTNER[sample.label]
        assert (distractor == DIRECTIONS[partner]).all()
        assert (thing == DIRECTIONS[goal.index if kind == "true_edit" else sample.label]).all()
        assert torch.equal(edit[0], sample.video[0])


def test_edits_know_classes_only(dataset):
    sample = dataset.sample("validation", 0)
    for edit in (dataset.true_edit, dataset.shortcut_edit):
        with pytest.raises(NotImplementedError):
            edit(sample, AvoidGoal(1))


def test_moved_names_what_the_edit_changed(dataset):
    for index in range(16):
        sample = dataset.sample("validation", index)
        goal = ClassGoal((sample.label + 1 + index // 4 % 3) % 4)
        both = torch.from_numpy(dataset.pixels(Scene.of(sample), goal.index, PARTNER[goal.index])) / 255
        for expected, video in (
            ("neither", sample.video),
            ("object", dataset.true_edit(sample, goal)),
            ("distractor", dataset.shortcut_edit(sample, goal)),
            ("both", both),
        ):
            assert dataset.moved(sample, video) == expected


def _without(sample: Sample, which: int) -> Tensor:
    """The video without its distractor (0) or its object (1)."""
    video = sample.video.clone()
    for frame in video:
        labels, order = _things(frame, 0.01)
        frame[:, labels == order[which]] = frame[:, :1, 0]
    return video


def test_a_removed_thing_has_no_direction_and_the_other_keeps_its_own(dataset):
    for index in range(24):
        sample = dataset.sample("validation", index)
        partner = PARTNER[sample.label]
        assert dataset.directions(sample, _without(sample, 1)) == (None, partner)
        assert dataset.directions(sample, _without(sample, 0)) == (sample.label, None)
        assert dataset.moved(sample, _without(sample, 1)) == "neither"


def test_faded_and_noisy_videos_have_no_directions(dataset):
    generator = torch.Generator().manual_seed(0)
    for index in range(24):
        sample = dataset.sample("validation", index)
        edit = dataset.true_edit(sample, ClassGoal((sample.label + 1) % 4))
        opacity = torch.linspace(1, 0.4, len(edit))[:, None, None, None]
        faded = edit[:, :, :1, :1] + opacity * (edit - edit[:, :, :1, :1])
        noise = torch.rand(edit.shape, generator=generator)
        for video in (faded, noise, 0.4 + 0.2 * noise):
            assert dataset.directions(sample, video) == (None, None)
            assert dataset.moved(sample, video) == "neither"


def test_small_noise_does_not_hide_the_directions(dataset):
    generator = torch.Generator().manual_seed(0)
    for index in range(24):
        sample = dataset.sample("validation", index)
        noisy = sample.video + 0.02 * torch.randn(sample.video.shape, generator=generator)
        assert dataset.directions(sample, noisy) == (sample.label, PARTNER[sample.label])


def test_backward_training_clips_keep_the_link(dataset):
    rng = np.random.default_rng(0)
    backwards = 0
    for index in range(32):
        video, label = dataset.training_clip(index, rng)
        sample = dataset.sample("train", index)
        if torch.equal(video, sample.video):
            assert label == sample.label
            continue
        backwards += 1
        assert label == OPPOSITE[sample.label]
        distractor, thing = np.sign((_centres(video[-1]) - _centres(video[0])).round())
        assert (thing == DIRECTIONS[label]).all()
        assert (distractor == DIRECTIONS[PARTNER[label]]).all()
    assert 6 <= backwards <= 26


class _Reader(Target):
    """Says where one of the two goes, read off the pixels: the smaller or the larger thing's way."""

    def __init__(self, larger: bool) -> None:
        super().__init__()
        self.larger = larger

    def forward(self, video: Tensor) -> Tensor:
        rows = []
        for clip in video:
            large, small = _centres(clip[-1]) - _centres(clip[0])
            scores = torch.from_numpy(DIRECTIONS @ (large if self.larger else small))
            rows.append(scores[list(PARTNER)] if self.larger else scores)
        return torch.stack(rows)

    @property
    def fingerprint(self) -> str:
        return "reader"


def test_controls_tell_who_reads_what(dataset):
    limit = 128
    low, high = (bound / limit for bound in stats.binom.interval(1 - 1e-6, limit, INDEPENDENT))
    honest, misled = dataset.controls(_Reader(False), limit), dataset.controls(_Reader(True), limit)
    assert honest["accuracy_unlinked"] == misled["follows_distractor"] == 1
    assert low <= honest["follows_distractor"] <= high
    assert low <= misled["accuracy_unlinked"] <= high


def test_larger_forms_are_tracked_too():
    dataset = ShapeShortcut(ShapeShortcutParams(frames=33, size=96))
    for index in range(6):
        sample = dataset.sample("validation", index)
        assert dataset.directions(sample, sample.video) == (sample.label, PARTNER[sample.label])
