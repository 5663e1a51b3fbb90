"""The order in which runs take videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.conftest import Silent
from vcfe_bench.interfaces import Sample, Split, Values
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.runs.video_order import STRATA, video_order


class Listed(Silent):
    """Labels without videos."""

    spec = "listed"
    classes = tuple("abcdefgh")

    def __init__(self, labels: Sequence[int]) -> None:
        super().__init__()
        self.labels = list(labels)

    def size(self, split: Split) -> int:
        return len(self.labels)

    def labels_of(self, split: Split) -> list[int]:
        return self.labels

    def sample(self, split: Split, index: int) -> Sample:
        raise AssertionError("the order must not need any video")


class Measured(Listed):
    spec = "measured"
    classes = ()
    values = Values(0, 100, 10, 1, "percent")


class Unlabelled(Listed):
    spec = "unlabelled"
    labels_of = None  # type: ignore[assignment]


labels = st.lists(st.integers(0, 3), min_size=1, max_size=80)


@given(labels)
@settings(max_examples=60)
def test_every_first_part_has_the_classes_in_the_proportions_of_the_split(given: list[int]) -> None:
    order, shares = video_order(Listed(given), "test"), Counter(given)
    assert sorted(order) == list(range(len(given)))
    drawn: Counter[int] = Counter()
    for count, index in enumerate(order, start=1):
        drawn[given[index]] += 1
        for label, size in shares.items():
            share = size / len(given)
            assert abs(drawn[label] - count * share) < 1 + len(shares) * share


@given(st.integers(1, 8), st.integers(1, 12))
@settings(max_examples=30)
def test_balanced_classes_come_in_turns_of_all(classes: int, each: int) -> None:
    labels = list(range(classes)) * each
    order = video_order(Listed(labels), "validation")
    for first in range(0, len(order), classes):
        assert {labels[index] for index in order[first : first + classes]} == set(range(classes))


def test_values_come_from_the_whole_range() -> None:
    labels = [k * k % 1009 for k in range(400)]
    ranks = {index: rank for rank, index in enumerate(sorted(range(400), key=labels.__getitem__))}
    order = video_order(Measured(labels), "test")
    for first in range(0, 400, STRATA):
        assert {ranks[index] * STRATA // 400 for index in order[first : first + STRATA]} == set(range(STRATA))


def test_it_is_random_without_labels_and_differs_between_splits_and_datasets() -> None:
    labels = [0] * 200
    orders = [video_order(dataset(labels), split) for dataset in (Unlabelled, Listed) for split in ("test", "train")]
    assert len({tuple(order) for order in orders}) == len(orders)
    for order in orders:
        assert sorted(order) == list(range(200))
        assert abs(sum(order[:100]) / 100 - 99.5) < 4 * 57.7 / 100**0.5


@pytest.mark.parametrize("name", ["shape_moving", "echo_phantom"])
def test_it_has_not_changed_and_does_not_depend_on_parameters(name: str) -> None:
    order = video_order(DATASETS.build(name), "test")
    assert order == video_order(DATASETS.build(f"{name}[frames=33]"), "test")
    assert order[:4] == {"shape_moving": [5235, 7796, 1238, 7945], "echo_phantom": [2834, 1914, 1245, 3630]}[name]
