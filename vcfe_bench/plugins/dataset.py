"""Datasets: labelled videos, and what is known about their content."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.base import Plugin, Remembers
from vcfe_bench.plugins.target import Target

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Sample(Remembers):
    """One video of a dataset.

    Attributes:
        id: unique within the dataset and stable for ever.
        video: ``[T, 3, H, W]``, float32 in [0, 1] on the 8-bit grid.
        label: class index, or value in the dataset's unit.
        fps: frames per second.
        attributes: what the dataset knows about the video; JSON-serialisable.
    """

    id: str
    video: Tensor
    label: int | float
    fps: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """The values of a regression dataset, in ``unit``: they lie in ``[low, high]``.

    A run asks for values at least ``change`` from what the target says, to be met within ``tolerance``.
    """

    low: float
    high: float
    change: float
    tolerance: float
    unit: str


@dataclass(frozen=True)
class Track:
    """Where a dataset's tracker sees the object of a video; rows of frames in which it sees none are NaN.

    Attributes:
        path: centroid ``[T, 2]`` as (x, y), in pixels.
        area: ``[T]``, in pixels.
        boxes: ``[T, 4]`` (left, top, right, bottom), in pixels.
    """

    path: np.ndarray
    area: np.ndarray
    boxes: np.ndarray


AttributeValue = str | bool | float | None
"""A category, whether something is there, a measured number, or None for what cannot be told."""


class Dataset(Plugin, ABC):
    """A set of labelled videos with two splits, addressed by position."""

    classes: tuple[str, ...] = ()
    """Class names in label order; empty for a regression dataset."""
    values: Values | None = None
    """What a regression dataset's labels are; None for classes."""
    shape: tuple[int, int, int]
    """``(T, H, W)`` of every video."""
    attributes: tuple[str, ...] = ()
    """Names of attributes that tell the classes apart; empty where a video has none.

    ``Sample.attributes`` then holds ``attributes``, the names of those present, one or more. Where places are known, it
    also holds ``objects``: for each its ``attributes`` and ``boxes``, ``[T, 4]`` (left, top, right, bottom) in pixels.
    """
    target: str = ""
    """Spec of the target that goes with the dataset when the user names none."""
    generator: str = ""
    """Spec of the generator that goes with the dataset when the user names none."""
    faults: tuple[str, ...] = ()
    """Names of what ``faulty_edit`` can do wrong."""
    cause: tuple[str, ...] = ()
    """Which of ``attributes_of`` make the label."""
    identity: tuple[str, ...] = ()
    """Which of ``attributes_of`` make the object that object: no goal asks for another one."""
    shortcut: tuple[str, ...] = ()
    """Which of ``attributes_of`` go with the label in training without making it."""
    others: tuple[str, ...] = ()
    """Specs of targets of other architectures than ``target``'s, trained independently of it."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Number of videos in the split."""

    @abstractmethod
    def sample(self, split: Split, index: int) -> Sample:
        """The video at ``index`` of the split, the same on every call and machine."""

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int | float]:
        """Video and label that a target is trained on at ``index`` of the training split, augmented where due."""
        sample = self.sample("train", index)
        return sample.video, sample.label

    def controls(self, target: Target, limit: int) -> Mapping[str, float]:
        """What else than accuracy should be measured of a target, by name, on ``limit`` test videos."""
        return {}

    def card(self) -> str:
        """What a user should know of the dataset, as Markdown."""
        return (type(self).__doc__ or "").strip()

    def oracle(self, sample: Sample, video: Tensor) -> int | float | None:
        """The label that the *content* of ``video`` has, measured without any classifier.

        ``video`` is an edit of ``sample.video`` with the same shape. None where the content shows no
        label, for instance because the object fell apart.

        Raises:
            NotImplementedError: the dataset has no oracle.
        """
        raise NotImplementedError

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The same scene with the goal's label, ``[T, 3, H, W]``: the ceiling of every method.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        raise NotImplementedError

    def track(self, sample: Sample, video: Tensor) -> Track | None:
        """Where the object of ``sample`` is in ``video``, an edit of ``sample.video``; None where no frame shows it.

        Frames are looked at one by one: unlike ``oracle``, a track does not judge how the object moves.

        Raises:
            NotImplementedError: the dataset has no object to track.
        """
        raise NotImplementedError

    def attributes_of(self, sample: Sample, video: Tensor) -> Mapping[str, AttributeValue] | None:
        """What the content of ``video``, an edit of ``sample.video``, is like; None where there is nothing to measure.

        The names are the same for all videos. A number is in units of the least difference that counts as a change;
        None stands for what cannot be told.

        Raises:
            NotImplementedError: the dataset cannot measure attributes.
        """
        raise NotImplementedError

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The sample with the shortcut that goes with the goal, and the cause as it was, ``[T, 3, H, W]``.

        Raises:
            NotImplementedError: the dataset has no shortcut, or cannot render its scenes anew.
        """
        raise NotImplementedError

    def faulty_edit(self, sample: Sample, goal: Goal, fault: str) -> Tensor:
        """The true edit with one known fault, ``[T, 3, H, W]``: what a good metric should rank below the true edit.

        ``fault`` is one of ``faults``.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        raise NotImplementedError
