"""Datasets: labelled videos in three splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vcfe_bench.plugins.base import Memo, Plugin
from vcfe_bench.plugins.terms import Split


@dataclass(frozen=True)
class Sample(Memo):
    """One video of a dataset.

    Attributes:
        id: unique within the dataset; never changes.
        video: ``[T, 3, H, W]``, float32 in [0, 1] on the 8-bit grid ``k / 255``.
        label: class index, or value in the dataset's unit.
        fps: frames per second.
        attributes: further facts about the video; JSON-serialisable.
    """

    id: str
    video: Tensor
    label: int | float
    fps: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """The labels of a regression dataset: values in ``[low, high]``, in ``unit``.

    A run requests values that differ from the target's prediction by at least ``change``; a counterfactual has to reach
    them within ``tolerance``.
    """

    low: float
    high: float
    change: float
    tolerance: float
    unit: str


class Dataset(Plugin, ABC):
    """A set of labelled videos in three disjoint splits, addressed by position.

    Authors write ``size`` and ``sample``. What else a dataset can do (measure labels, render scenes, track objects) are
    optional abilities, see ``vcfe_bench.plugins.abilities``.
    """

    classes: tuple[str, ...] = ()
    """Class names in label order; empty for a regression dataset."""
    values: Values | None = None
    """Range and unit of a regression dataset's labels; None for classes."""
    shape: tuple[int, int, int]
    """``(T, H, W)`` of every video."""
    target: str = ""
    """Spec of the target to use if the user names none; may be empty."""
    generator: str = ""
    """Spec of the generator to use if the user names none; may be empty."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Number of videos in the split; 0 if the dataset has no such split."""

    @abstractmethod
    def sample(self, split: Split, index: int) -> Sample:
        """The video at ``index`` of the split, the same on every call and on every machine."""

    def notes(self, split: Split) -> tuple[str, ...]:
        """What a reader of results has to know about the videos of a split, such as which are left out and why.

        The sentences appear below the table of a run.
        """
        return ()

    def card(self) -> str:
        """What users should know about the dataset, as Markdown."""
        return (type(self).__doc__ or "").strip()
