"""Motion of the object that the dataset's tracker follows: is it still there, does it move as one thing would?"""

from __future__ import annotations

import math

import numpy as np

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.plugins.abilities import Track, Tracker
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

MARGIN = 2
"""Pixels around the object's box that belong to it too: its antialiased edge, and the ringing of a generator."""
STILL = 0.1
"""Mean speed in pixels a frame below which an object stands: the rest is noise of the tracker."""
SOURCE = "tracker of the dataset"


def track(footage: Footage) -> Track | None:
    """The sample's object in a video; None where no frame shows it."""
    assert isinstance(footage.dataset, Tracker)
    return footage.dataset.track(footage.sample, footage.video)


def permanence(footage: Footage) -> float:
    """Share of the frames in which the tracker finds the object."""
    found = footage.shared(track)
    return 0.0 if found is None else float((~np.isnan(found.area)).mean())


def roughness(footage: Footage) -> float:
    """``unsteadiness`` of order 2; NaN where no frame shows the object."""
    found = footage.shared(track)
    return math.nan if found is None else unsteadiness(found, 2)


def unsteadiness(found: Track, order: int) -> float:
    """Root mean square of the path's differences of ``order``, divided by the mean speed (RMS and mean over frames).

    0 for constant velocity. NaN where a frame lacks the object, for half of a path is easily smoother than all of it,
    and where the object stands.
    """
    speed = np.linalg.norm(np.diff(found.path, axis=0), axis=1).mean()
    differences = np.diff(found.path, order, axis=0)
    return float(np.sqrt((differences**2).sum(axis=1).mean()) / speed) if speed >= STILL else math.nan


def inside(found: Track, height: int, width: int) -> np.ndarray:
    """Pixels of the object's boxes and ``MARGIN`` around them, bool ``[T, H, W]``."""
    left, top, right, bottom = found.boxes.T[:, :, None]
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    across = (x > left - MARGIN) & (x < right + MARGIN)
    down = (y > top - MARGIN) & (y < bottom + MARGIN)
    return down[:, :, None] & across[:, None, :]


class _MotionMetric(SampleMetric):
    def unavailable(self, dataset: Dataset) -> str | None:
        return None if isinstance(dataset, Tracker) else "the dataset tracks no object"


class Permanence(_MotionMetric):
    """Share of the frames in which the tracker finds the object."""

    card = Card(
        name="object_permanence",
        question="Is the object there from the first to the last frame?",
        criterion="realism",
        direction="higher",
        unit="share of frames",
        range=(0.0, 1.0),
        source=SOURCE,
        failure_modes="The tracker knows the object by its colour and wants a solid core, so a recoloured or a faded "
        "object counts as gone, and a second one beside it does not count. Where it is and whether it moves is of no "
        "matter.",
    )

    def score(self, case: Case) -> float:
        return math.nan if pair(case) is None else permanence(case.edited)


class ChangeOnObject(_MotionMetric):
    """Share of the absolute change that lies on the object, where it was or where it is now."""

    card = Card(
        name="change_on_object",
        question="Is it the object that changes, rather than its surroundings?",
        criterion="actionability",
        direction="higher",
        unit="share of change",
        range=(0.0, 1.0),
        source=f"{SOURCE}; its boxes in original and counterfactual, and {MARGIN} pixels around them",
        failure_modes="Noise in the right place counts as right, noise everywhere has the boxes' share of the frame. A "
        "generator's faint errors add up over the background: compare with the row of reconstruction. Where the object "
        "is lost, only its old place counts. NaN where nothing changes.",
    )

    def score(self, case: Case) -> float:
        videos = pair(case)
        if videos is None:
            return math.nan
        size = (abs(videos[1] - videos[0])).double().sum(dim=1).numpy()
        before, after = case.original.shared(track), case.edited.shared(track)
        if before is None or not size.any():
            return math.nan
        on_object = inside(before, *size.shape[1:])
        if after is not None:
            on_object |= inside(after, *size.shape[1:])
        return float(size[on_object].sum() / size.sum())


class Roughness(_MotionMetric):
    """Root mean square of the second difference of the object's path, relative to its mean speed."""

    card = Card(
        name="roughness",
        question="Does the object keep its velocity from frame to frame?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="mean speeds a frame",
        range=(0.0, float("inf")),
        source=f"{SOURCE}; definition: RMS |p(t-1) - 2 p(t) + p(t+1)| / mean |p(t+1) - p(t)|",
        failure_modes="An object that stops at the border has to brake: compare with the row of true_edit. Over videos "
        "that show the object in every frame only, so a method that loses it often looks smooth: read it beside "
        "object_permanence and n. NaN where the object stands.",
    )

    def score(self, case: Case) -> float:
        return math.nan if pair(case) is None else roughness(case.edited)


class Jerk(_MotionMetric):
    """Root mean square of the third difference of the object's path, relative to its mean speed."""

    card = Card(
        name="jerk",
        question="Does the object speed up and slow down without jolts?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="mean speeds a frame",
        range=(0.0, float("inf")),
        source=f"{SOURCE}; definition: RMS |p(t-1) - 3 p(t) + 3 p(t+1) - p(t+2)| / mean |p(t+1) - p(t)|",
        failure_modes="As roughness, and more sensitive to the noise of the tracker.",
    )

    def score(self, case: Case) -> float:
        found = None if pair(case) is None else case.edited.shared(track)
        return math.nan if found is None else unsteadiness(found, 3)
