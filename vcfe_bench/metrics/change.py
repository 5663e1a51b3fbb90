"""The change itself: how fine it is in space and time, and how much of the video it affects.

The change is counterfactual minus original. Its spectrum is that of the cosine transform, which continues a signal by
its mirror image: a change that grows over the clip, or an object at the border, causes no discontinuity where the
signal repeats, as it would in a Fourier transform. Index k of n stands for k / 2n cycles per sample.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft
from torch import Tensor

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

FINE = 0.125
"""A quarter of the Nyquist frequency, in cycles per sample: periods below eight pixels or eight frames are fine."""
STEP = 1.5 / 255
"""A voxel counts as changed where it differs by more than one 8-bit step, since one step may be rounding. The extra
half step stays clear of float32 rounding."""
CHANGED_SHARE = 1e-3
"""A frame counts as changed where more than one pixel in a thousand does; fewer are stray pixels."""


def change(case: Case) -> np.ndarray | None:
    """Counterfactual minus original, float64 ``[T, 3, H, W]``; None if a value is not finite."""
    videos = video_pair(case)
    return None if videos is None else (videos[1].double() - videos[0].double()).numpy()


def fine_share(signal: np.ndarray, axes: tuple[int, ...]) -> float:
    """Share of the energy of ``signal`` at frequencies above ``FINE`` along ``axes``; NaN for a signal of zeros.

    >>> fine_share(np.ones((8, 8)), (0, 1)), round(fine_share(np.resize([1.0, -1.0], 8), (0,)), 2)
    (0.0, 0.97)
    """
    energy = fft.dctn(signal, axes=axes, norm="ortho") ** 2
    other = tuple(axis for axis in range(signal.ndim) if axis not in axes)
    spectrum = energy.sum(axis=other)
    frequencies = np.meshgrid(*(np.arange(n) / (2 * n) for n in spectrum.shape), indexing="ij")
    fine = sum(f**2 for f in frequencies) > FINE**2
    total = spectrum.sum()
    return float(spectrum[fine].sum() / total) if total > 0 else math.nan


def changed(case: Case) -> Tensor | None:
    """Pixels that change by more than ``STEP`` in any channel, bool ``[T, H, W]``; None if a value is not finite."""
    videos = video_pair(case)
    return None if videos is None else ((videos[1] - videos[0]).abs() > STEP).any(dim=1)


class FineInSpace(SampleMetric):
    """Share of the change's energy at spatial frequencies above a quarter of Nyquist."""

    card = Card(
        name="fine_in_space",
        question="How much of the change is a pattern finer than eight pixels?",
        criterion="realism",
        direction="lower",
        unit="share of energy",
        range=(0.0, 1.0),
        source="cosine spectrum of the frames of the change; white noise has 0.95",
        failure_modes="The sharp edges of a moved object are fine patterns too: compare with the row of true_edit. A "
        "blurred change scores best. Eight pixels are little in a large frame and much in a small one. NaN where "
        "nothing changes.",
    )

    def score(self, case: Case) -> float:
        difference = case.shared(change)
        return math.nan if difference is None else fine_share(difference, (2, 3))


class FineInTime(SampleMetric):
    """Share of the change's energy at temporal frequencies above a quarter of Nyquist."""

    card = Card(
        name="fine_in_time",
        question="How much of the change appears and disappears within eight frames?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="share of energy",
        range=(0.0, 1.0),
        source="cosine spectrum of the pixels of the change over time; white noise has 0.71 at 17 frames",
        failure_modes="An object that moves through a pixel appears and disappears too: compare with the row of "
        "true_edit. A static change scores best, even where motion was requested. NaN where nothing changes and for a "
        "video of one frame.",
        version=2,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        return "a video of one frame does not change in time" if dataset.shape[0] < 2 else None

    def score(self, case: Case) -> float:
        difference = case.shared(change)
        return math.nan if difference is None or len(difference) < 2 else fine_share(difference, (0,))


class ChangedPixels(SampleMetric):
    """Share of the pixels of all frames that change by more than one step of the 8-bit grid in any channel."""

    card = Card(
        name="changed_pixels",
        question="How much of the video changes at all?",
        criterion="proximity",
        direction="lower",
        unit="share of pixels",
        range=(0.0, 1.0),
        source="sparsity: share of pixels that change by more than 1/255 in any channel",
        failure_modes="Two grey levels count as much as a new object. A video decoded by a generator changes nearly "
        "everywhere: compare with the row of reconstruction. Zero for a method that changes nothing.",
    )

    def score(self, case: Case) -> float:
        pixels = case.shared(changed)
        return math.nan if pixels is None else float(pixels.double().mean())


class ChangedFrames(SampleMetric):
    """Share of the frames in which more than one pixel in a thousand changes."""

    card = Card(
        name="changed_frames",
        question="In how much of the clip's duration is there a change?",
        criterion="proximity",
        direction=None,
        unit="share of frames",
        range=(0.0, 1.0),
        source="temporal extent: share of frames in which more than 0.1 % of the pixels change by more than 1/255",
        failure_modes="Ignores how much a frame changes. Another motion needs nearly all frames, another appearance "
        "all of them: compare with the row of true_edit. 1 for any video decoded by a generator.",
    )

    def score(self, case: Case) -> float:
        pixels = case.shared(changed)
        if pixels is None:
            return math.nan
        return float((pixels.double().mean(dim=(1, 2)) > CHANGED_SHARE).double().mean())
