"""Optional abilities of a dataset, each a protocol.

A dataset has an ability if its class defines the members of the protocol; it does not have to inherit from it. The
harness and the metrics check for an ability with ``isinstance(dataset, Oracle)``. An ability belongs to a class, not to
an instance: a subclass drops an inherited one by setting the method to None, and if an ability would depend on a
parameter, write two classes.

Videos are float32 tensors ``[T, 3, H, W]`` in [0, 1]. An *edit* of a sample is a video of the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Split


@runtime_checkable
class Oracle(Protocol):
    """Measures the label of a video from its content, without a classifier."""

    def oracle(self, sample: Sample, video: Tensor) -> int | float | None:
        """The label that the content of ``video``, an edit of ``sample``, shows: a class index or a value.

        None if the content shows no label, for instance because the object has fallen apart.
        """


@runtime_checkable
class Renderer(Protocol):
    """Renders the scene of a sample under another label."""

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The scene of ``sample`` with the goal's label and nothing else changed, ``[T, 3, H, W]`` in [0, 1].

        It is an upper bound for every method.

        Raises:
            NotImplementedError: the dataset cannot render this goal.
        """


@dataclass(frozen=True)
class Track:
    """Position of an object in each frame of a video. Rows of frames in which it is not found are NaN.

    Attributes:
        path: centroid ``[T, 2]`` as (x, y), in pixels.
        area: ``[T]``, in pixels.
        boxes: bounding boxes ``[T, 4]`` (left, top, right, bottom), in pixels.
    """

    path: np.ndarray
    area: np.ndarray
    boxes: np.ndarray


@runtime_checkable
class Tracker(Protocol):
    """Tracks the object of a sample."""

    def track(self, sample: Sample, video: Tensor) -> Track | None:
        """The track of the sample's object in ``video``, an edit of ``sample``; None if no frame shows it.

        Each frame is searched on its own. Unlike an oracle, a tracker does not judge whether the motion is plausible.
        """


AttributeValue = str | bool | float | None
"""A category, the presence of something, a measured number, or None if it cannot be determined."""


@runtime_checkable
class AttributeReader(Protocol):
    """Measures attributes of the content of a video."""

    def attributes_of(self, sample: Sample, video: Tensor) -> Mapping[str, AttributeValue] | None:
        """Attributes of ``video``, an edit of ``sample``, by name; None if there is nothing to measure.

        The names are the same for all videos. A number is given in units of the smallest difference that counts as a
        change. A value is None if it cannot be determined.
        """


@runtime_checkable
class CausalAttributes(AttributeReader, Protocol):
    """Knows which of the attributes it measures determine the label."""

    @property
    def cause(self) -> tuple[str, ...]:
        """Names from ``attributes_of`` that determine the label."""


@runtime_checkable
class IdentityAttributes(AttributeReader, Protocol):
    """Knows which of the attributes it measures make up the identity of the objects."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Names from ``attributes_of`` that no goal requests to change."""


@runtime_checkable
class Bystanders(AttributeReader, Protocol):
    """Shows further objects that have nothing to do with the label."""

    @property
    def bystanders(self) -> tuple[str, ...]:
        """Names from ``attributes_of`` that describe these objects and that no goal requests to change."""


@runtime_checkable
class PlantedShortcut(CausalAttributes, Renderer, Protocol):
    """Contains a planted shortcut: attributes that are correlated with the label in training but do not cause it."""

    @property
    def shortcut(self) -> tuple[str, ...]:
        """Names from ``attributes_of`` that are correlated with the label in training without determining it."""

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """``sample`` with the shortcut that goes with the goal and the cause unchanged, ``[T, 3, H, W]`` in [0, 1].

        Raises:
            NotImplementedError: the dataset cannot render this goal.
        """


@runtime_checkable
class Corrupter(Renderer, Protocol):
    """Renders true edits with known corruptions, which a good metric ranks below the true edit."""

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions."""

    def corrupted_edit(self, sample: Sample, goal: Goal, corruption: str) -> Tensor:
        """The true edit with one of ``corruptions``, ``[T, 3, H, W]`` in [0, 1].

        Raises:
            NotImplementedError: the dataset cannot render this goal.
            ValueError: there is no such corruption.
        """


@runtime_checkable
class AnnotatedAttributes(Protocol):
    """Lists the attributes that are present in each video, as annotated or known from rendering.

    ``Sample.attributes`` then contains ``attributes``, the names of those present, at least one. If locations are
    known, it also contains ``objects``, one entry for each object with its ``attributes`` and its ``boxes``, ``[T, 4]``
    (left, top, right, bottom) in pixels.
    """

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes that distinguish the classes; empty if the local copy has no annotation."""


@runtime_checkable
class KnownLabels(Protocol):
    """Knows the labels of its videos without rendering or decoding them, so that ``--limit`` can draw every class."""

    def labels_of(self, split: Split) -> Sequence[int | float]:
        """Labels of all videos of the split, in order: those of ``sample(split, index)``."""


@runtime_checkable
class Augmenter(Protocol):
    """Augments the clips on which a target is trained."""

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int | float]:
        """Video ``[T, 3, H, W]`` and label for ``index`` of the training split, augmented at random with ``rng``."""


def training_clip(dataset: Dataset, index: int, rng: np.random.Generator) -> tuple[Tensor, int | float]:
    """Video and label for ``index`` of the training split, augmented if the dataset is an ``Augmenter``."""
    if isinstance(dataset, Augmenter):
        return dataset.training_clip(index, rng)
    sample = dataset.sample("train", index)
    return sample.video, sample.label


@runtime_checkable
class ControlExperiments(Protocol):
    """Measures more about a target than its accuracy, for instance which cue it relies on."""

    def controls(self, target: Target, limit: int, split: Split) -> Mapping[str, float]:
        """Measurements of ``target`` on the first ``limit`` videos of the split, by name."""


@runtime_checkable
class GoalGroups(Protocol):
    """Divides the goals of a video into groups, such as small and large changes, which ``--goals`` can select."""

    @property
    def goal_groups(self) -> Mapping[str, Mapping[int, Sequence[int]]]:
        """For the name of each group, its goals by predicted class, both as indices into ``classes``."""


@runtime_checkable
class TransferTargets(Protocol):
    """Names further targets on which the transfer of counterfactuals is measured."""

    @property
    def transfer_targets(self) -> tuple[str, ...]:
        """Specs of independently trained targets that rely on what determines the label, of at least two architectures
        where possible. The target under test is left out."""
