from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.datasets.shape_corruptions import CORRUPTIONS
from vcfe_bench.goals import ClassGoal
from vcfe_datasets.shapes.shape_drawing import OTHER_SHAPES
from vcfe_datasets.shapes.shape_moving import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    COUNT,
    DIRECTIONS,
    MARGIN,
    OPPOSITE,
    SHAPES,
    SIZES,
    SPEEDS,
    Scene,
    ShapeMoving,
    ShapeMovingParams,
    path,
    render,
    scene,
)

numbers = st.integers(0, COUNT - 1)
labels = st.integers(0, 3)


@pytest.fixture(scope="module")
def dataset() -> ShapeMoving:
    return ShapeMoving()


def test_video_content_never_changes():
    pixels = np.stack([ShapeMoving().pixels(scene(k), k % 4) for k in (0, 1, 2, 3, 31_999, 63_999)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN


GOLDEN = "c5ccf34f482ca58738e0c7cc707555142778efc053c8970cd0d8510488c225de"


def test_splits_are_balanced_disjoint_and_complete(dataset):
    seen = {split: [dataset.number(split, i) for i in range(dataset.size(split))] for split in ("train", "validation")}
    assert sorted(seen["train"] + seen["validation"]) == list(range(COUNT))
    assert len(seen["train"]) == 4 * len(seen["validation"])
    for numbers in seen.values():
        assert np.bincount(np.array(numbers) % 4).tolist() == [len(numbers) // 4] * 4


def test_index_outside_the_split_is_an_error(dataset):
    with pytest.raises(IndexError):
        dataset.sample("validation", dataset.size("validation"))


@given(numbers)
@settings(max_examples=40, deadline=None)
def test_first_frame_is_the_same_for_all_labels(number):
    videos = [ShapeMoving().pixels(scene(number), label) for label in range(4)]
    assert all((videos[0][0] == video[0]).all() for video in videos)
    assert all((videos[0][-1] != video[-1]).any() for video in videos[1:])


@given(numbers, labels)
@settings(max_examples=300, deadline=None)
def test_the_object_starts_away_from_the_borders_and_travels_far_enough(number, label):
    content = scene(number)
    for place in (content.x, content.y):
        assert MARGIN + content.size <= place <= 64 - MARGIN - content.size
    centres = path(content, label, 17)
    shift = centres[-1] - centres[0]
    assert np.abs(shift).max() >= 10
    assert (np.sign(shift) == DIRECTIONS[label]).all()
    assert (centres >= content.size - 1e-9).all()
    assert (centres <= 64 - content.size + 1e-9).all()


def test_attributes_are_spread_evenly():
    scenes = [scene(k) for k in range(4000)]
    for name, options in (
        ("shape", SHAPES),
        ("colour", tuple(COLOURS)),
        ("background", tuple(BACKGROUNDS)),
        ("size", SIZES),
        ("speed", SPEEDS),
    ):
        counts = [sum(getattr(s, name) == option for s in scenes) for option in options]
        assert min(counts) > 0.85 * 4000 / len(options)


def test_another_look_has_the_same_motions_and_labels():
    other, plain = ShapeMoving(ShapeMovingParams(look="other")), ShapeMoving()
    for index in range(24):
        sample, usual = other.sample("validation", index), plain.sample("validation", index)
        for name in ("size", "speed", "x", "y"):
            assert sample.attributes[name] == usual.attributes[name]
        for name, old in (("shape", SHAPES), ("colour", COLOURS), ("background", BACKGROUNDS)):
            assert sample.attributes[name] not in old
        assert other.oracle(sample, sample.video) == sample.label == usual.label
        found = other.attributes_of(sample, sample.video)
        for name in ("shape", "colour"):
            assert found[name] == sample.attributes[name]
        edit = other.true_edit(sample, ClassGoal(OPPOSITE[sample.label]))
        assert other.oracle(sample, edit) == OPPOSITE[sample.label]


@pytest.mark.parametrize("shape", [*SHAPES, *OTHER_SHAPES])
def test_antialiased_area_matches_the_geometry(shape):
    content = Scene(shape, "red", "black", 9.0, 20.0, 31.3, 32.7)
    frame = render(content, np.array([[content.x, content.y]]))[0].astype(float)
    back, front = (np.array(c)[:, None, None] for c in (BACKGROUNDS["black"], COLOURS["red"]))
    covered = ((frame - back) / (front - back)).mean(0).sum()
    bars = 2 * 4 * 0.45 - (2 * 0.45) ** 2
    exact = {"disc": np.pi, "square": 4, "triangle": 2, "diamond": 2, "ring": np.pi * (1 - 0.16)}.get(shape, bars) * 81
    assert covered == pytest.approx(exact, rel=0.02)


def test_the_paper_format_has_the_shape_in_the_paper():
    sample = ShapeMoving(ShapeMovingParams(frames=65, size=224)).sample("validation", 5)
    assert sample.video.shape == (65, 3, 224, 224)
    assert sample.fps == 16


def test_true_edit_has_the_goals_direction_and_the_same_first_frame(dataset):
    sample = dataset.sample("validation", 0)
    for goal in range(4):
        edit = dataset.true_edit(sample, ClassGoal(goal))
        assert dataset.oracle(sample, edit) == goal
        assert torch.equal(edit[0], sample.video[0])
    assert torch.equal(dataset.true_edit(sample, ClassGoal(sample.label)), sample.video)


def test_half_of_the_training_clips_are_reversed_with_the_opposite_label(dataset):
    rng = np.random.default_rng(0)
    backwards = 0
    for index in range(64):
        video, label = dataset.training_clip(index, rng)
        sample = dataset.sample("train", index)
        if torch.equal(video, sample.video):
            assert label == sample.label
        else:
            assert torch.equal(video.flip(0), sample.video)
            assert label == OPPOSITE[sample.label]
            backwards += 1
    assert 16 <= backwards <= 48


def _pil_loop(content: Scene, label: int) -> np.ndarray:
    frames = []
    for x, y in path(content, label, 17) * 4:
        image = Image.new("RGB", (256, 256), BACKGROUNDS[content.background])
        r = content.size * 4
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=COLOURS[content.colour])
        frames.append(np.asarray(image.resize((64, 64), Image.Resampling.BOX)))
    return np.stack(frames)


def test_rendering_is_ten_times_faster_than_a_pil_loop(dataset):
    content = Scene("disc", "red", "black", 8.0, 26.0, 30.0, 30.0)
    difference = _pil_loop(content, 3).transpose(0, 3, 1, 2).astype(int) - dataset.pixels(content, 3)
    assert abs(difference).mean() < 1

    def seconds(function) -> float:
        times = []
        for _ in range(7):
            start = time.process_time()
            for _ in range(5):
                function(content, 3)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(_pil_loop) >= 10 * seconds(dataset.pixels)


@pytest.mark.slow
def test_oracle_is_right_on_originals(dataset):
    samples = [dataset.sample("validation", index) for index in range(400)]
    assert np.mean([dataset.oracle(s, s.video) == s.label for s in samples]) >= 0.995


@pytest.mark.slow
def test_oracle_is_right_for_the_format_of_the_paper():
    dataset = ShapeMoving(ShapeMovingParams(frames=65, size=224))
    samples = [dataset.sample("validation", index) for index in range(12)]
    assert all(dataset.oracle(s, s.video) == s.label for s in samples)


def test_oracle_tolerates_slight_noise(dataset):
    generator = torch.Generator().manual_seed(0)
    for index in range(40):
        sample = dataset.sample("validation", index)
        noisy = sample.video + 0.02 * torch.randn(sample.video.shape, generator=generator)
        assert dataset.oracle(sample, noisy) == sample.label


def test_track_follows_the_path(dataset):
    sample = dataset.sample("validation", 7)
    content = Scene(**sample.attributes)
    found = dataset.track(sample, sample.video)
    offset = found.path - path(content, sample.label, 17)
    assert np.abs(offset - offset[0]).max() < 0.2
    assert found.area.std() / found.area.mean() < 0.02


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_oracle_rejects_corrupted_videos(dataset, corruption):
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(200):
        content = scene(number)
        video = torch.from_numpy(CORRUPTIONS[corruption](content, number % 4, rng)).float() / 255
        sample = dataset.sample("train", 0)
        sample = type(sample)("x", video, number % 4, 16.0, vars(content))
        refused += dataset.oracle(sample, video) is None
    assert refused >= 0.98 * 200


@pytest.mark.parametrize("level", [0.2, 0.5, 1.0])
def test_oracle_rejects_noise(dataset, level):
    generator = torch.Generator().manual_seed(1)
    for index in range(30):
        sample = dataset.sample("validation", index)
        noise = torch.rand(sample.video.shape, generator=generator)
        assert dataset.oracle(sample, (1 - level) * 0.5 + level * noise) is None


def test_oracle_rejects_an_object_that_does_not_move(dataset):
    sample = dataset.sample("validation", 3)
    assert dataset.oracle(sample, sample.video[:1].expand_as(sample.video)) is None


def test_classes_are_named_after_directions():
    assert CLASSES == ("up", "down", "left", "right")
    assert all((DIRECTIONS[k] == -DIRECTIONS[OPPOSITE[k]]).all() for k in range(4))
