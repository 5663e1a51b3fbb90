"""What a dataset returns: sizes and samples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.plugins.abilities import KnownLabels
from vcfe_bench.plugins.contract.errors import ContractError, type_name
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.terms import Split

OFF_GRID = 0.01
"""Largest accepted distance of ``255 * value`` from a whole number, which rounding explains."""
FASTEST = 100_000
"""Largest accepted number of frames per second."""


def checked_size(dataset: Dataset, split: Split) -> int:
    """The number of videos in a split.

    Raises:
        UsageError: the dataset fails, or returns no number of videos.
    """
    try:
        size = dataset.size(split)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"dataset '{dataset.spec}' cannot count its {split} split: {describe(error)}") from error
    if not isinstance(size, Integral) or size < 0:
        raise UsageError(f"dataset '{dataset.spec}' returns {size!r} as the size of its {split} split")
    return int(size)


def checked_labels(dataset: KnownLabels, split: Split) -> list[int | float]:
    """The labels of all videos of a split of a dataset.

    Raises:
        UsageError: the dataset fails, or a label is none.
    """
    assert isinstance(dataset, Dataset)
    size = checked_size(dataset, split)
    try:
        labels = [_label(label, dataset.classes) for label in dataset.labels_of(split)]
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"dataset '{dataset.spec}' cannot list its labels: {describe(error)}") from error
    if len(labels) != size:
        raise UsageError(
            f"dataset '{dataset.spec}' lists {len(labels)} labels for the {size} videos of its {split} split"
        )
    return labels


def checked_sample(dataset: Dataset, split: Split, index: int) -> Sample:
    """The sample at ``index`` of a split; its label and frame rate are numbers of Python.

    Raises:
        UsageError: the dataset fails, or the sample breaks the contract of ``plugins.dataset.Sample``.
    """
    try:
        sample = dataset.sample(split, index)
        return _checked(sample, dataset)
    except UsageError:
        raise
    except ContractError as error:
        raise UsageError(f"dataset '{dataset.spec}', video {index} of the {split} split: {error}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"dataset '{dataset.spec}' cannot read video {index} of its {split} split: {describe(error)}"
        ) from error


def _checked(sample: object, dataset: Dataset) -> Sample:
    if not isinstance(sample, Sample):
        raise ContractError(f"it is {type_name(sample)}, not a Sample")
    if not isinstance(sample.id, str) or not sample.id:
        raise ContractError(f"its id is {sample.id!r}, not a text")
    if not isinstance(sample.fps, Real) or not 0 < sample.fps <= FASTEST:
        raise ContractError(f"it has {sample.fps!r} frames per second: between 0 and {FASTEST:,} are possible")
    _check_video(sample.video, dataset.shape)
    label = _label(sample.label, dataset.classes)
    fps = float(sample.fps)
    if type(sample.label) is type(label) and type(sample.fps) is float:
        return sample
    return dataclasses.replace(sample, label=label, fps=fps)


def _check_video(video: object, shape: tuple[int, int, int]) -> None:
    if not isinstance(video, Tensor) or video.dtype is not torch.float32:
        found = video.dtype if isinstance(video, Tensor) else type_name(video)
        raise ContractError(f"its video is {found}, not a float32 tensor in [0, 1]")
    frames, height, width = shape
    if tuple(video.shape) != (frames, 3, height, width):
        raise ContractError(
            f"its video has the shape {tuple(video.shape)}; by the dataset's shape it is {(frames, 3, height, width)}"
        )
    if not video.isfinite().all():
        raise ContractError("its video has NaN or infinite values")
    low, high = float(video.min()), float(video.max())
    if low < 0 or high > 1:
        raise ContractError(f"its video has values from {low:.3g} to {high:.3g}, not in [0, 1]")
    levels = 255 * video
    if float((levels - levels.round()).abs().max()) > OFF_GRID:
        raise ContractError("its video has values that are not multiples of 1/255: round it to 8 bits")


def _label(label: object, classes: Sequence[str]) -> int | float:
    """The label as a number of Python; NaN where it is not known."""
    if not isinstance(label, Real):
        raise ContractError(f"its label is {label!r}, not a number")
    value = float(label)
    if math.isnan(value):
        return math.nan
    if not classes:
        if math.isinf(value):
            raise ContractError(f"its label is {label!r}, not a finite number")
        return int(value) if isinstance(label, Integral) else value
    if not value.is_integer() or not 0 <= value < len(classes):
        raise ContractError(f"its label is {label!r}, not one of the classes 0 to {len(classes) - 1}")
    return int(value)
