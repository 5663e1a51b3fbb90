"""The oracle of the echo phantom: segments the dark chamber in every frame and measures its beats.

An ejection fraction is reported only if the video shows one beating chamber: in every frame a single dark ellipse
inside a brighter wall, at a constant position, whose volume rises and falls in at least two similar beats at a
plausible heart rate. Lengths are in pixels of a 64-pixel frame and are scaled to the actual size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

EDGE = 0.25
"""A pixel is fully cavity up to this fraction of the way from blood to wall level, and not cavity from 1 minus it."""
FADED = 0.5
"""Smallest contrast between wall and blood in any frame, as a fraction of the scene's contrast."""
FLICKER = 0.2
"""Largest deviation of the wall's brightness in any frame, as a fraction of its median over the clip."""
SMALLEST = 30.0
"""Smallest area of the chamber."""
SECOND = 0.1
"""Largest area of another dark object, as a fraction of the chamber's area in the first frame."""
ROUND = (0.9, 1.1)
"""Allowed range of the area, as a fraction of the area of the ellipse with the same second moments."""
DRIFT = 3.0
"""Largest distance of the chamber's centre from its position in the first frame."""
BEAT = 5.0
"""Smallest ejection fraction, in percent, that counts as a beat."""
LIKE = 10.0
"""Largest difference between the ejection fractions of two beats."""
SWING = 0.2
"""Smallest rise of the volume on both sides of an end systole, as a fraction of the volume's range."""
PERIOD = (4, 10)
"""Allowed number of frames between end systoles: 120 to 48 beats per minute at 8 fps."""
SQUARE = np.ones((1, 3, 3), bool)
"""A pixel and its neighbours in its own frame."""


@dataclass(frozen=True)
class Planimetry:
    """Measurements of a beating chamber, in pixels.

    Attributes:
        area: area of the chamber, ``[T]``.
        length: long axis, ``[T]``.
        volume: area-length volume, ``[T]``.
        diastoles: frames of end diastole, one for each beat.
        systoles: frames of end systole; systole i follows diastole i.
        ejection_fraction: median over the beats, in percent.
    """

    area: np.ndarray
    length: np.ndarray
    volume: np.ndarray
    diastoles: np.ndarray
    systoles: np.ndarray
    ejection_fraction: float


def area_length_volume(area: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Volume of a ventricle by the single-plane area-length method: ``8 A² / (3 π L)``."""
    return 8 * area**2 / (3 * np.pi * length)


def planimetry(video: np.ndarray, centre: tuple[float, float], blood: float, wall: float) -> Planimetry | None:
    """Measure the chamber at ``centre`` (x, y in 1/64 of the side) in grey levels ``video [T, H, W]`` (0–255).

    ``blood`` and ``wall`` are the scene's mean grey levels. Returns None if there is no single chamber or it does not
    beat.
    """
    pixel = video.shape[1] / 64
    x, y = (int(position * pixel) for position in centre)
    bodies = [_body(frame < blood + EDGE * (wall - blood), x, y) for frame in video]
    outlined = np.stack(bodies)
    if (outlined.sum((1, 2)) < SMALLEST * pixel**2).any() or _touches_border(outlined):
        return None

    levels = _levels(video, outlined, round(pixel))
    if levels is None:
        return None
    dark, bright = levels
    contrast = np.median(bright) - np.median(dark)
    if (bright - dark).min() < FADED * (wall - blood) or abs(bright / np.median(bright) - 1).max() > FLICKER:
        return None

    low = np.median(dark) + EDGE * contrast
    near = _grow(outlined, round(2 * pixel))
    weight = np.where(near, (low + (1 - 2 * EDGE) * contrast - video) / ((1 - 2 * EDGE) * contrast), 0).clip(0, 1)
    area, centres, moments = _moments(weight)
    ellipse = 4 * np.pi * np.sqrt(moments.prod(1))
    drift = np.hypot(*(centres - centres[0]).T)
    if ((area < ROUND[0] * ellipse) | (area > ROUND[1] * ellipse)).any() or drift.max() > DRIFT * pixel:
        return None
    if any(_largest_other(frame < low, at) > SECOND * area[0] for frame, at in zip(video, near, strict=True)):
        return None
    length = 4 * np.sqrt(moments[:, 1])
    return _beats(area, length, area_length_volume(area, length))


def _body(dark: np.ndarray, x: int, y: int) -> np.ndarray:
    """Mask of the connected dark object at (x, y); all False if that pixel is not dark."""
    labels, _ = ndimage.label(dark)
    return (labels == labels[y, x]) & dark


def _touches_border(bodies: np.ndarray) -> bool:
    return bool(bodies[:, [0, -1]].any() or bodies[:, :, [0, -1]].any())


def _grow(bodies: np.ndarray, by: int) -> np.ndarray:
    return ndimage.binary_dilation(bodies, SQUARE, iterations=by)


def _levels(video: np.ndarray, bodies: np.ndarray, pixel: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Median grey level inside the chamber and in the ring around it, each ``[T]``; None if a chamber is too small."""
    cores = ndimage.binary_erosion(bodies, SQUARE, iterations=pixel)
    rings = _grow(bodies, 3 * pixel) & ~_grow(bodies, pixel)
    if not cores.any((1, 2)).all():
        return None
    frames = list(zip(video, cores, rings, strict=True))
    return (
        np.array([np.median(frame[core]) for frame, core, _ in frames]),
        np.array([np.median(frame[ring]) for frame, _, ring in frames]),
    )


def _moments(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area ``[T]``, centre (x, y) ``[T, 2]`` and variances along the short and the long axis ``[T, 2]``."""
    position = np.arange(weight.shape[1]) + 0.5
    area = weight.sum((1, 2))
    x, y = (weight.sum(axis) @ position / area for axis in (1, 2))
    dx, dy = position - x[:, None], position - y[:, None]
    covariance = np.empty((len(weight), 2, 2))
    covariance[:, 0, 0] = (weight.sum(1) * dx**2).sum(1) / area
    covariance[:, 1, 1] = (weight.sum(2) * dy**2).sum(1) / area
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.einsum("tyx,ty,tx->t", weight, dy, dx) / area
    return area, np.stack([x, y], axis=1), np.linalg.eigvalsh(covariance) + 1 / 12


def _largest_other(dark: np.ndarray, chamber: np.ndarray) -> int:
    """Area of the largest dark object that is separate from the chamber and does not touch the frame's border."""
    labels, count = ndimage.label(dark)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[labels[chamber]] = 0
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        sizes[edge] = 0
    return int(sizes[1:].max(initial=0))


def _beats(area: np.ndarray, length: np.ndarray, volume: np.ndarray) -> Planimetry | None:
    """Find the beats in a volume curve ``[T]``; each has an end diastole, an end systole and a filling phase."""
    from scipy.signal import find_peaks  # takes half a second to import

    if 1 - volume.min() / volume.max() < BEAT / 100:
        return None
    swing = volume.max() - volume.min()
    systoles, _ = find_peaks(-volume, prominence=SWING * swing)
    if len(systoles) < 2 or (np.diff(systoles) < PERIOD[0]).any() or (np.diff(systoles) > PERIOD[1]).any():
        return None
    starts = [0, *systoles[:-1]]
    diastoles = np.array([start + volume[start:stop].argmax() for start, stop in zip(starts, systoles, strict=True)])
    fractions = 100 * (1 - volume[systoles] / volume[diastoles])
    if np.ptp(fractions) > LIKE:
        return None
    return Planimetry(area, length, volume, diastoles, systoles, float(np.median(fractions)))
