"""The three splits of the synthetic datasets: what is in them has not changed, and they share nothing."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from vcfe_bench.interfaces import Dataset, Sample
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.plugins.terms import SPLITS

WORLDS = {
    "shape_moving": ("993eec5f89a8ea79", "04aff72e3a1b46b8"),
    "shape_shortcut[link=0.9,shown=0.5]": ("9027b358f4efd48a", "122678c02e790383"),
    "shape_crowd": ("dd70bf992840d64f", "ddc375712e924519"),
    "shape_scenes": ("af6088408c899254", "cc5e91bef21920b5"),
    "echo_phantom": ("60147cbda6a64a81", "36d3e9dac475c3d6"),
}
"""Hashes of training videos, and of validation videos: those that were the test videos when there were two splits."""
every_world = pytest.mark.parametrize("name", WORLDS)


def _content(sample: Sample) -> bytes:
    pixels = (sample.video * 255).round().byte().numpy().tobytes()
    return f"{sample.id} {sample.label} {sorted(sample.attributes.items())}".encode() + pixels


@every_world
def test_training_and_validation_videos_have_not_changed(name: str) -> None:
    dataset = DATASETS.build(name)
    for split, expected in zip(("train", "validation"), WORLDS[name], strict=True):
        content = hashlib.sha256()
        for index in (0, 1, 17, 123, dataset.size(split) - 1):
            content.update(_content(dataset.sample(split, index)))
        assert content.hexdigest()[:16] == expected


@every_world
def test_splits_share_no_video(name: str) -> None:
    dataset = DATASETS.build(name)
    samples = [dataset.sample(split, index) for split in SPLITS for index in range(40)]
    assert len({sample.id for sample in samples}) == len(samples)
    assert len({sample.video.numpy().tobytes() for sample in samples}) == len(samples)


@every_world
def test_no_two_videos_of_any_splits_draw_from_the_same_stream(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DATASETS.build(name)
    numbers = [np.array([dataset.number(split, i) for i in range(dataset.size(split))]) for split in SPLITS]
    original = np.random.Philox
    keys: list[tuple[int, int]] = []
    monkeypatch.setattr(np.random, "Philox", lambda key: keys.append(tuple(key)) or original(key=key))
    offsets = []
    for split, known in zip(SPLITS, numbers, strict=True):
        for index in (0, 5, len(known) - 1):
            keys.clear()
            dataset.sample(split, index)
            offsets.append({stream - known[index] for seed, stream in keys if seed == 0})
    assert offsets == offsets[:1] * len(offsets)
    streams = [part + offset for part in numbers for offset in offsets[0]]
    assert len(np.unique(np.concatenate(streams))) == sum(map(len, streams))


@every_world
def test_the_test_split_is_balanced_and_its_labels_are_known(name: str) -> None:
    dataset = DATASETS.build(name)
    for split in SPLITS:
        labels = dataset.labels_of(split)
        assert len(labels) == dataset.size(split)
        assert all(dataset.sample(split, index).label == labels[index] for index in (0, 3, 9, dataset.size(split) - 1))
        if dataset.classes:
            assert Counter(labels) == dict.fromkeys(range(len(dataset.classes)), len(labels) / len(dataset.classes))
        else:
            assert np.histogram(labels, bins=5, range=(20, 75))[0] == pytest.approx(len(labels) / 5, rel=0.15)


def _number(dataset: Dataset) -> int:
    return int(dataset.sample("test", 0).id)


def test_test_videos_have_numbers_of_their_own() -> None:
    assert {_number(DATASETS.build(name)) for name in WORLDS} == {1_000_000}
