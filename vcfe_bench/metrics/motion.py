"""Motion of the object that the dataset's tracker follows: is it still there, and does it move as one object would?"""

from __future__ import annotations

import math

import numpy as np

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.plugins.abilities import Track, Tracker
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

MARGIN = 2
"""Pixels around the object's box that count as part of it: its antialiased edge, and ringing of a generator."""
STILL = 0.1
"""Mean speed in pixels per frame below which the object counts as standing still: the rest is tracker noise."""
SOURCE = "tracker of the dataset"


def track(footage: Footage) -> Track | None:
    """The sample's object in a video; None where no frame shows it."""
    assert isinstance(footage.dataset, Tracker)
    return footage.dataset.track(footage.sample, footage.video)


def permanence(footage: Footage) -> float:
    """Share of the frames in which the tracker finds the object."""
    tracked = footage.shared(track)
    return 0.0 if tracked is None else float((~np.isnan(tracked.area)).mean())


def roughness(footage: Footage) -> float:
    """``unsteadiness`` of order 2; NaN where no frame shows the object."""
    tracked = footage.shared(track)
    return math.nan if tracked is None else unsteadiness(tracked, 2)


def unsteadiness(tracked: Track, order: int) -> float:
    """Root mean square of the path's differences of ``order``, divided by its mean speed (RMS and mean over frames).

    0 for constant velocity. NaN where the object is missing in a frame, because half of a path is easily smoother than
    the whole, and where the object stands still.
    """
    speed = np.linalg.norm(np.diff(tracked.path, axis=0), axis=1).mean()
    differences = np.diff(tracked.path, order, axis=0)
    return float(np.sqrt((differences**2).sum(axis=1).mean()) / speed) if speed >= STILL else math.nan


def inside(tracked: Track, height: int, width: int) -> np.ndarray:
    """Pixels in the object's boxes and within ``MARGIN`` of them, bool ``[T, H, W]``."""
    left, top, right, bottom = tracked.boxes.T[:, :, None]
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
        question="Is the object present from the first frame to the last?",
        criterion="realism",
        direction="higher",
        unit="share of frames",
        range=(0.0, 1.0),
        source=SOURCE,
        failure_modes="The tracker identifies the object by its colour and needs a solid core, so a recoloured or "
        "faded object counts as missing, and a second object next to it is ignored. Where the object is, and whether "
        "it moves, has no influence.",
    )

    def score(self, case: Case) -> float:
        return math.nan if video_pair(case) is None else permanence(case.edited)


class ChangeOnObject(_MotionMetric):
    """Share of the absolute change that lies on the object, at its position in the original or the counterfactual."""

    card = Card(
        name="change_on_object",
        question="Does the object change, rather than its surroundings?",
        criterion="actionability",
        direction="higher",
        unit="share of change",
        range=(0.0, 1.0),
        source=f"{SOURCE}; its boxes in original and counterfactual, and {MARGIN} pixels around them",
        failure_modes="Noise on the object counts as correct; noise everywhere scores the boxes' share of the frame. "
        "A generator's faint errors add up over the background: compare with the row of reconstruction. Where the "
        "object is lost, only its original position counts. NaN where nothing changes.",
    )

    def score(self, case: Case) -> float:
        videos = video_pair(case)
        if videos is None:
            return math.nan
        magnitude = (abs(videos[1] - videos[0])).double().sum(dim=1).numpy()
        before, after = case.original.shared(track), case.edited.shared(track)
        if before is None or not magnitude.any():
            return math.nan
        on_object = inside(before, *magnitude.shape[1:])
        if after is not None:
            on_object |= inside(after, *magnitude.shape[1:])
        return float(magnitude[on_object].sum() / magnitude.sum())


class Roughness(_MotionMetric):
    """Root mean square of the second difference of the object's path, relative to its mean speed."""

    card = Card(
        name="roughness",
        question="Does the object keep its velocity from frame to frame?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="mean speeds per frame",
        range=(0.0, float("inf")),
        source=f"{SOURCE}; definition: RMS |p(t-1) - 2 p(t) + p(t+1)| / mean |p(t+1) - p(t)|",
        failure_modes="An object that stops at the border has to brake: compare with the row of true_edit. Computed "
        "only over videos that show the object in every frame, so a method that loses it often looks smooth: read it "
        "alongside object_permanence and n. NaN where the object stands still.",
    )

    def score(self, case: Case) -> float:
        return math.nan if video_pair(case) is None else roughness(case.edited)


class Jerk(_MotionMetric):
    """Root mean square of the third difference of the object's path, relative to its mean speed."""

    card = Card(
        name="jerk",
        question="Does the object accelerate and decelerate smoothly?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="mean speeds per frame",
        range=(0.0, float("inf")),
        source=f"{SOURCE}; definition: RMS |p(t-1) - 3 p(t) + 3 p(t+1) - p(t+2)| / mean |p(t+1) - p(t)|",
        failure_modes="As roughness, and more sensitive to tracker noise.",
    )

    def score(self, case: Case) -> float:
        tracked = None if video_pair(case) is None else case.edited.shared(track)
        return math.nan if tracked is None else unsteadiness(tracked, 3)
