"""The order in which runs take the videos of a split: at random, with every class equally spread.

It depends on the dataset's name, the split and the labels alone, so that all methods, targets and seeds get the same
videos, and a smaller number of videos is contained in a larger one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vcfe_bench.core import seeds
from vcfe_bench.plugins.abilities import KnownLabels
from vcfe_bench.plugins.contract.samples import checked_labels, checked_size
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.terms import Split

STRATA = 8
"""Number of equally large ranges into which the labels of a regression dataset are divided."""


def video_order(dataset: Dataset, split: Split) -> list[int]:
    """The indices of a split in the order in which runs take them.

    A class with n videos has one at a random place in each n-th part of the order, so that every first part of it has
    nearly the proportions of the split; with K classes of equal size, each K videos show all classes. A regression
    dataset is divided into ``STRATA`` ranges of the label instead. If the dataset does not have ``KnownLabels``, the
    order is random.
    """
    name = dataset.spec.partition("[")[0]
    lots = [seeds.derive("video", name, split, index) for index in range(checked_size(dataset, split))]
    members: dict[int, list[int]] = defaultdict(list)
    strata = _strata(dataset, split)
    for index in sorted(range(len(lots)), key=lots.__getitem__):
        members[strata[index]].append(index)
    places = [0.0] * len(lots)
    for indices in members.values():
        for rank, index in enumerate(indices):
            places[index] = (rank + seeds.derive("place", lots[index]) / 2**63) / len(indices)
    return sorted(range(len(lots)), key=lambda index: (places[index], lots[index]))


def _strata(dataset: Dataset, split: Split) -> Sequence[int]:
    """The stratum of each video of the split."""
    if not isinstance(dataset, KnownLabels):
        return [0] * checked_size(dataset, split)
    labels = checked_labels(dataset, split)
    if dataset.values is None:
        return [int(label) for label in labels]
    strata = [0] * len(labels)
    for rank, index in enumerate(sorted(range(len(labels)), key=labels.__getitem__)):
        strata[index] = rank * STRATA // len(labels)
    return strata
