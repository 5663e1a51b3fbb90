from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from vcfe_bench.goals import AvoidGoal, ClassGoal
from vcfe_bench.interfaces import Sample
from vcfe_datasets.shapes.shape_drawing import BACKGROUNDS, COLOURS, SHAPES
from vcfe_datasets.shapes.shape_moving import DIRECTIONS
from vcfe_datasets.shapes.shape_scene import (
    ATTRIBUTES,
    CLASS_ATTRIBUTES,
    CLASSES,
    DIM,
    LOOKS,
    MOTIONS,
    RING,
    SHRINK,
    WAY,
    Item,
    Scene,
    boxes,
    label,
    nearest,
    render,
    scene,
)
from vcfe_datasets.shapes.shape_scenes import COUNT, ShapeScenes, ShapeScenesParams

numbers = st.integers(0, COUNT - 1)


@pytest.fixture(scope="module")
def dataset() -> ShapeScenes:
    return ShapeScenes()


def test_video_content_never_changes():
    pixels = np.stack([ShapeScenes().pixels(scene(k)) for k in (*range(8), 31_999, 63_999)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN


GOLDEN = "b8db99234ef0ef1d41efaae6af0f01cf47d605f3938280d4e9c33cb6a831316c"


def test_splits_are_balanced_disjoint_and_complete(dataset):
    seen = {split: [dataset.number(split, i) for i in range(dataset.size(split))] for split in ("train", "validation")}
    assert sorted(seen["train"] + seen["validation"]) == list(range(COUNT))
    assert len(seen["train"]) == 4 * len(seen["validation"])
    for members in seen.values():
        assert np.bincount(np.array(members) % 8).tolist() == [len(members) // 8] * 8


CONDITIONS = (
    lambda o: any(i.colour == "red" for i in o) and any(i.motion == "translating" for i in o),
    lambda o: any(i.colour == "blue" for i in o) and any(i.motion == "translating" for i in o),
    lambda o: any(i.colour == "blue" for i in o) and any(i.motion == "turning" for i in o),
    lambda o: any(i.shape == "disc" for i in o) and any(i.motion == "turning" for i in o),
    lambda o: any(i.shape == "disc" for i in o) and any(i.motion == "pulsing" for i in o),
    lambda o: any(i.shape == "triangle" for i in o) and any(i.motion == "pulsing" for i in o),
    lambda o: any(i.shape == "triangle" for i in o) and any(i.motion == "blinking" for i in o),
    lambda o: any(i.colour == "red" for i in o) and any(i.motion == "blinking" for i in o),
)


def test_every_scene_completes_the_pair_of_its_class_only():
    for number in range(3000):
        items = scene(number).items
        assert [k for k, condition in enumerate(CONDITIONS) if condition(items)] == [number % 8]
        assert all(item.motion != "turning" or item.shape in ("square", "triangle") for item in items)


def test_each_class_shares_one_attribute_with_two_others():
    assert list(CLASS_ATTRIBUTES) == list(CLASSES)
    for name, own in CLASS_ATTRIBUTES.items():
        assert len(own) == 2
        shared = [len(own & other) for key, other in CLASS_ATTRIBUTES.items() if key != name]
        assert sorted(shared) == [0] * 5 + [1] * 2
    assert Counter(itertools.chain(*CLASS_ATTRIBUTES.values())) == dict.fromkeys(RING, 2)


def test_no_single_attribute_and_no_count_determines_the_class():
    scenes = [scene(number) for number in range(1600)]
    strangers = [
        set(itertools.chain(*(item.look for item in content.items))) & set(RING) - CLASS_ATTRIBUTES[CLASSES[k % 8]]
        for k, content in enumerate(scenes)
    ]
    assert np.mean([bool(found) for found in strangers]) > 0.4
    table = np.zeros((8, 3), int)
    for number, content in enumerate(scenes):
        table[number % 8, len(content.items) - 2] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert table.sum(0).min() > 0.85 * 1600 / 3


@given(numbers)
@settings(max_examples=200, deadline=None)
def test_each_object_stays_in_its_own_quarter(number):
    items = scene(number).items
    quarters = {(item.x > 32, item.y > 32) for item in items}
    assert len(quarters) == len(items) in (2, 3, 4)
    for item, motion in itertools.product(items, MOTIONS):
        reach = boxes(replace(item, shape="square", motion=motion), 17, 64)
        low = 32 * np.array([item.x > 32, item.y > 32])
        assert (reach[:, :2] >= low).all()
        assert (reach[:, 2:] <= low + 32).all()


SKIN = 0.5 / np.sin(np.arctan(0.5))
"""How far the antialiased edge, half a pixel wide, reaches beyond a triangle's apex."""


@given(numbers)
@example(11893)
@settings(max_examples=25, deadline=None)
def test_boxes_enclose_the_pixels(number):
    content = scene(number)
    for item in content.items:
        video = render(Scene(content.background, (item,)), 17, 64).astype(int)
        different = (video != np.array(BACKGROUNDS[content.background])[:, None, None]).any(1)
        for frame, box in zip(different, boxes(item, 17, 64), strict=True):
            y, x = np.nonzero(frame)
            found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert (abs(found - box) <= SKIN + 0.5).all()


def _opacity(item: Item) -> np.ndarray:
    """Opacity ``[T, H, W]`` of an object that moves alone over black."""
    video = render(Scene("black", (item,)), 17, 64).astype(float)
    back, front = (np.array(c, float)[:, None, None] for c in (BACKGROUNDS["black"], COLOURS[item.colour]))
    return ((video - back) * (front - back)).sum(1) / ((front - back) ** 2).sum()


def _centroids(opacity: np.ndarray) -> np.ndarray:
    grid = np.arange(64) + 0.5
    return np.stack([opacity.sum(1) @ grid, opacity.sum(2) @ grid], 1) / opacity.sum((1, 2))[:, None]


SQUARE = Item("square", "green", "standing", 6.0, 16.0, 48.0, 0)


@pytest.mark.parametrize("heading", range(4))
def test_a_translating_object_travels_along_its_heading(heading):
    centroids = _centroids(_opacity(replace(SQUARE, motion="translating", heading=heading)))
    way = np.arange(17)[:, None] / 16 * WAY * DIRECTIONS[heading]
    assert centroids - centroids[0] == pytest.approx(way, abs=0.1)


@pytest.mark.parametrize("heading", [0, 1])
def test_a_turning_object_turns_by_half_a_circle(heading):
    triangle = Item("triangle", "green", "turning", 7.0, 16.0, 48.0, heading)
    opacity = _opacity(triangle)
    arm = _centroids(opacity) - (16, 48)
    clockwise = -1 if heading else 1
    expected = np.pi / 2 + clockwise * np.pi * np.arange(17) / 16
    angles = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
    assert angles - angles[0] == pytest.approx(expected - expected[0], abs=0.1)
    assert np.hypot(*arm.T) == pytest.approx(np.full(17, 7 / 3), abs=0.1)
    assert opacity.sum((1, 2)) == pytest.approx(np.full(17, 2 * 7.0**2), rel=0.03)


def test_a_pulsing_object_shrinks_twice():
    opacity = _opacity(replace(SQUARE, motion="pulsing"))
    side = np.sqrt(opacity.sum((1, 2)))
    dip = 1 - SHRINK * np.array([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25] * 2 + [0])
    assert side == pytest.approx(12 * dip, abs=0.15)
    assert _centroids(opacity) == pytest.approx(np.tile([16.0, 48.0], (17, 1)), abs=0.05)


def test_a_blinking_object_dims_twice():
    opacity = _opacity(replace(SQUARE, motion="blinking"))
    expected = np.array(([1.0] * 4 + [DIM] * 4) * 2 + [1.0])
    assert opacity[:, 48, 16] == pytest.approx(expected, abs=0.01)
    assert opacity.sum((1, 2)) == pytest.approx(144 * expected, rel=0.03)


def test_a_standing_object_stands():
    opacity = _opacity(SQUARE)
    assert (opacity == opacity[0]).all()


@given(numbers)
@settings(max_examples=30, deadline=None)
def test_first_frame_is_independent_of_the_motion(number):
    content = scene(number)
    frames = [
        render(replace(content, items=tuple(replace(item, motion=motion) for item in content.items)), 17, 64)[0]
        for motion in MOTIONS
    ]
    assert all((frame == frames[0]).all() for frame in frames)


def test_attributes_are_json_and_complete(dataset):
    for index in range(16):
        sample = dataset.sample("validation", index)
        read = json.loads(json.dumps(sample.attributes))
        content = Scene.of(Sample("", sample.video, sample.label, 16.0, read))
        assert content == scene(dataset.number("validation", index))
        assert torch.equal(torch.from_numpy(dataset.pixels(content)).float() / 255, sample.video)
        assert [thing["attributes"] for thing in read["objects"]] == [list(item.look) for item in content.items]
        assert set(read["attributes"]) == set(itertools.chain(*(item.look for item in content.items)))
        assert set(read["attributes"]) <= set(dataset.attributes) == set(ATTRIBUTES)
        assert dataset.class_attributes[dataset.classes[sample.label]] <= set(read["attributes"])
        assert all(np.shape(thing["boxes"]) == (17, 4) for thing in read["objects"])


def _changes(old: Scene, new: Scene) -> int:
    return sum(
        a != b
        for one, other in zip(old.items, new.items, strict=True)
        for a, b in zip(one.look, other.look, strict=True)
    )


def test_nearest_needs_the_fewest_changes_of_all():
    pairs = [scene(number) for number in range(40) if len(scene(number).items) == 2][:5]
    for content in pairs:
        fewest = dict.fromkeys(range(8), 99)
        costs = [{look: sum(map(str.__ne__, look, item.look)) for look in LOOKS} for item in content.items]
        for looks in itertools.product(LOOKS, LOOKS):
            if (found := label(looks)) is not None:
                fewest[found] = min(fewest[found], costs[0][looks[0]] + costs[1][looks[1]])
        assert [_changes(content, nearest(content, goal)) for goal in range(8)] == list(fewest.values())


def test_nearest_reaches_every_class_and_keeps_the_rest():
    for number, goal in itertools.product(range(24), range(8)):
        content = scene(number)
        edit = nearest(content, goal)
        assert [k for k, condition in enumerate(CONDITIONS) if condition(edit.items)] == [goal]
        assert edit.background == content.background
        for old, new in zip(content.items, edit.items, strict=True):
            assert replace(new, shape=old.shape, colour=old.colour, motion=old.motion) == old
    assert nearest(content, number % 8) == content


def test_oracle_recognises_every_object_of_originals(dataset):
    samples = [dataset.sample("validation", index) for index in range(100)]
    recognised = [dataset.recognise(sample, sample.video) for sample in samples]
    looks = [[item.look for item in found or ()] for found in recognised]
    assert np.mean([a == [i.look for i in Scene.of(s).items] for a, s in zip(looks, samples, strict=True)]) >= 0.99
    assert np.mean([label(a) == s.label for a, s in zip(looks, samples, strict=True)]) >= 0.99


def test_oracle_is_right_on_true_edits(dataset):
    for index in range(10):
        sample = dataset.sample("validation", index)
        for goal in range(8):
            assert dataset.oracle(sample, dataset.true_edit(sample, ClassGoal(goal))) == goal
    with pytest.raises(NotImplementedError):
        dataset.true_edit(sample, AvoidGoal(1))


def test_oracle_tolerates_slight_noise_and_shifts(dataset):
    generator = torch.Generator().manual_seed(0)
    for index in range(16):
        sample = dataset.sample("validation", index)
        noisy = sample.video + 0.02 * torch.randn(sample.video.shape, generator=generator)
        assert dataset.oracle(sample, noisy) == sample.label
        content = Scene.of(sample)
        items = tuple(replace(item, x=item.x + 0.4, y=item.y - 0.3, size=item.size - 0.2) for item in content.items)
        shifted = torch.from_numpy(dataset.pixels(replace(content, items=items))) / 255
        assert dataset.oracle(sample, shifted) == sample.label


def test_oracle_accepts_a_scene_with_fewer_objects(dataset):
    for index in range(16):
        sample = dataset.sample("validation", index)
        content = Scene.of(sample)
        fewer = replace(content, items=content.items[1:])
        video = torch.from_numpy(dataset.pixels(fewer)) / 255
        assert [item.look for item in dataset.recognise(sample, video)] == [item.look for item in fewer.items]
        assert dataset.oracle(sample, video) == label(item.look for item in fewer.items)


def _corrupted(sample: Sample, dataset: ShapeScenes, rng: np.random.Generator) -> dict[str, Tensor]:
    content = Scene.of(sample)
    first, *others = content.items
    video, background = sample.video, sample.video[:, :, :1, :1]

    def drawn(*items: Item) -> Tensor:
        return torch.from_numpy(dataset.pixels(replace(content, items=items))).float() / 255

    late = (torch.arange(len(video)) >= int(rng.integers(5, 12)))[:, None, None, None]
    colour = str(rng.choice([name for name in COLOURS if name != first.colour]))
    shape = str(rng.choice([name for name in SHAPES[:2] if name != first.shape]))
    opacity = torch.linspace(1, 0.2, len(video))[:, None, None, None]
    return {
        "fades": background + opacity * (video - background),
        "vanishes": torch.where(late, drawn(*others), video),
        "appears": torch.where(late, video, drawn(*others)),
        "recoloured": torch.where(late, drawn(replace(first, colour=colour), *others), video),
        "reshaped": torch.where(late, drawn(replace(first, shape=shape, motion="standing"), *others), video),
        "noise": torch.from_numpy(rng.random(video.shape, dtype=np.float32)),
        "grey noise": 0.4 + 0.2 * torch.from_numpy(rng.random(video.shape, dtype=np.float32)),
        "other background": video + 0.2,
        "shuffled": video[torch.from_numpy(rng.permutation(len(video)))],
    }


def test_oracle_rejects_corrupted_videos(dataset):
    rng = np.random.default_rng(0)
    refused: Counter[str] = Counter()
    for index in range(20):
        sample = dataset.sample("validation", index)
        refused.update(
            name for name, v in _corrupted(sample, dataset, rng).items() if dataset.oracle(sample, v) is None
        )
    assert all(refused[name] >= 19 for name in _corrupted(sample, dataset, rng)), refused


def test_larger_formats_are_recognised():
    dataset = ShapeScenes(ShapeScenesParams(frames=33, size=96))
    for index in range(4):
        sample = dataset.sample("validation", index)
        assert dataset.oracle(sample, sample.video) == sample.label
