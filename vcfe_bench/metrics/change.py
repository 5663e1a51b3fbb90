"""What the change looks like: fine or coarse in space and in time, and how much of the video it touches.

The change is counterfactual minus original. Its spectrum is that of the cosine transform, which continues a signal by
its mirror image: a change that grows over the clip, or an object at the border, makes no jump where the signal starts
anew, as it would in a Fourier transform. Index k of n stands for k / 2n cycles a sample.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft
from torch import Tensor

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.plugins.metric import Card, Case, SampleMetric

FINE = 0.125
"""A quarter of the Nyquist frequency, in cycles a sample: periods below eight pixels or eight frames are fine."""
STEP = 1.5 / 255
"""A voxel changes where it moves by more than one step of the 8-bit grid; one step may be rounding. Half a step more
keeps clear of the rounding of float32."""
TOUCHED = 1e-3
"""A frame changes where more than one pixel in a thousand does: fewer are stray."""


def change(case: Case) -> np.ndarray | None:
    """Counterfactual minus original, float64 ``[T, 3, H, W]``; None if a value is not finite."""
    videos = pair(case)
    return None if videos is None else (videos[1].double() - videos[0].double()).numpy()


def fine_share(signal: np.ndarray, axes: tuple[int, ...]) -> float:
    """Share of the energy of ``signal`` at frequencies above ``FINE`` along ``axes``; NaN for a signal of zeros."""
    energy = fft.dctn(signal, axes=axes, norm="ortho") ** 2
    other = tuple(axis for axis in range(signal.ndim) if axis not in axes)
    spectrum = energy.sum(axis=other)
    frequencies = np.meshgrid(*(np.arange(n) / (2 * n) for n in spectrum.shape), indexing="ij")
    fine = sum(f**2 for f in frequencies) > FINE**2
    total = spectrum.sum()
    return float(spectrum[fine].sum() / total) if total > 0 else math.nan


def touched(case: Case) -> Tensor | None:
    """Which pixels change by more than ``STEP`` in any channel, bool ``[T, H, W]``; None if a value is not finite."""
    videos = pair(case)
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
        source="cosine spectrum of the frames of the change; noise has 0.95",
        failure_modes="Sharp edges of a moved object are fine too: compare with the row of true_edit. A blurred change "
        "is rated best. Eight pixels are little in a large frame and much in a small one. NaN where nothing changes.",
    )

    def score(self, case: Case) -> float:
        found = case.shared(change)
        return math.nan if found is None else fine_share(found, (2, 3))


class FineInTime(SampleMetric):
    """Share of the change's energy at temporal frequencies above a quarter of Nyquist."""

    card = Card(
        name="fine_in_time",
        question="How much of the change comes and goes within eight frames?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="share of energy",
        range=(0.0, 1.0),
        source="cosine spectrum of the pixels of the change over time; noise has 0.71 at 17 frames",
        failure_modes="What moves through a pixel comes and goes too: compare with the row of true_edit. A change that "
        "stands still is rated best, even where motion was asked for. NaN where nothing changes.",
    )

    def score(self, case: Case) -> float:
        found = case.shared(change)
        return math.nan if found is None else fine_share(found, (0,))


class ChangedPixels(SampleMetric):
    """Share of the pixels of all frames that change by more than one step of the 8-bit grid in any channel."""

    card = Card(
        name="changed_pixels",
        question="How much of the video is touched at all?",
        criterion="proximity",
        direction="lower",
        unit="share of pixels",
        range=(0.0, 1.0),
        source="sparsity: count of changed pixels, any channel by more than 1/255",
        failure_modes="Two steps of grey count as much as a new object. What went through a generator is touched "
        "nearly everywhere: compare with the row of reconstruction. Zero for a method that does nothing.",
    )

    def score(self, case: Case) -> float:
        found = case.shared(touched)
        return math.nan if found is None else float(found.double().mean())


class ChangedFrames(SampleMetric):
    """Share of the frames in which more than one pixel in a thousand changes."""

    card = Card(
        name="changed_frames",
        question="How much of the clip's time does the change take?",
        criterion="proximity",
        direction=None,
        unit="share of frames",
        range=(0.0, 1.0),
        source="temporal extent: frames of which more than 0.1 % of the pixels change by more than 1/255",
        failure_modes="Blind to how much a frame changes. Another motion needs nearly all frames, another look all of "
        "them: compare with the row of true_edit. 1 for whatever went through a generator.",
    )

    def score(self, case: Case) -> float:
        found = case.shared(touched)
        return math.nan if found is None else float((found.double().mean(dim=(1, 2)) > TOUCHED).double().mean())
