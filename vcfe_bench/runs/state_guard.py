"""What a method may have changed besides its results is found after each micro-batch, named, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from vcfe_bench.core import process_state
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.method import Query
from vcfe_bench.runs.network_guard import NetworkGuard

_CACHED = cached_property(lambda plugin: None)
"""Stands for a name that the class does not have: it overrides nothing."""


@dataclass
class Changes:
    """What a method changed: ``settings`` that were put back, and ``networks``, whose change makes its results void."""

    settings: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


@contextmanager
def guarded(networks: Sequence[NetworkGuard], dataset: Dataset, queries: Sequence[Query]) -> Iterator[Changes]:
    """Put back what is changed inside the block. The changes are complete once the block has ended."""
    changes = Changes()
    changes.networks += _changed(networks)  # by a thread that an earlier method left behind, say
    methods = _attributes(dataset)
    videos = [query.sample.video.clone() for query in queries]
    try:
        with process_state.random_state(), torch.inference_mode(False):
            settings = process_state.settings()
            try:
                yield changes
            finally:
                changes.settings += process_state.restore(settings)
    finally:
        if any(not query.sample.video.equal(video) for query, video in zip(queries, videos, strict=True)):
            changes.settings.append("video of a query")
        if _restore(dataset, methods):
            changes.settings.append("methods of the dataset")
        changes.networks += _changed(networks)


def _changed(networks: Sequence[NetworkGuard]) -> list[str]:
    return [name for guard in networks for name in guard.restore()]


def private(query: Query) -> Query:
    """The same query with a video of its own, so that a method does not get hold of the dataset's."""
    return replace(query, sample=replace(query.sample, video=query.sample.video.clone()))


def _attributes(dataset: Dataset) -> dict[str, Any]:
    """Public attributes of the class that the instance overrides; properties that it caches are none."""
    cls = type(dataset)
    return {
        name: value
        for name, value in vars(dataset).items()
        if not name.startswith("_") and not isinstance(getattr(cls, name, _CACHED), cached_property)
    }


def _restore(dataset: Dataset, before: dict[str, Any]) -> bool:
    """Set the attributes back; whether any was replaced."""
    now = _attributes(dataset)
    replaced = [name for name in {**now, **before} if now.get(name) is not before.get(name)]
    for name in replaced:
        if name in before:
            setattr(dataset, name, before[name])
        else:
            delattr(dataset, name)
    return bool(replaced)
