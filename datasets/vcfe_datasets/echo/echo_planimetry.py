"""The oracle of the echo phantom: outline the dark chamber in every frame and find its beats.

It reports an ejection fraction only when a person would see one chamber beating: a single dark ellipse inside a
brighter wall, in every frame and in one place, whose volume rises and falls in at least two beats that are alike and of
a rate that hearts have. Lengths are in pixels of a 64-pixel frame and are scaled to the real size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.signal import find_peaks

EDGE = 0.25
"""Blood counts as all cavity up to this share of the way from blood to wall, and as none from 1 minus it."""
FADED = 0.5
"""Least contrast between wall and blood in any frame, as a share of what the scene has."""
FLICKER = 0.2
"""Greatest change of the wall's brightness in any frame, as a share of its median over the clip."""
SMALLEST = 30.0
"""Least area of the chamber."""
SECOND = 0.1
"""Greatest area of another dark object, as a share of the chamber's in the first frame."""
ROUND = (0.9, 1.1)
"""Allowed area, as a share of that of the ellipse with the same second moments."""
DRIFT = 3.0
"""Greatest distance of the chamber's centre from where it is in the first frame."""
BEAT = 5.0
"""Least ejection fraction, in percent, that counts as a beat."""
LIKE = 10.0
"""Greatest difference between the ejection fractions of two beats."""
SWING = 0.2
"""Least rise of the volume on both sides of an end systole, as a share of its whole swing."""
PERIOD = (4, 10)
"""Allowed frames from one end systole to the next: at 8 fps 120 to 48 beats a minute."""


SQUARE = np.ones((1, 3, 3), bool)
"""A pixel and its neighbours in its own frame."""


@dataclass(frozen=True)
class Planimetry:
    """What was measured of a beating chamber, in pixels.

    Attributes:
        area: ``[T]``.
        length: long axis ``[T]``.
        volume: area-length volume ``[T]``.
        diastoles, systoles: frames of end diastole and end systole; diastole i comes before systole i.
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
    """Measure the chamber around ``centre`` (x, y in 1/64 of the side) in grey levels ``video [T, H, W]`` (0–255).

    ``blood`` and ``wall`` are the scene's mean levels. Returns None where there is no single chamber, or it does not
    beat.
    """
    pixel = video.shape[1] / 64
    x, y = (int(place * pixel) for place in centre)
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
    """The connected dark object at a place; empty where the place is not dark."""
    labels, _ = ndimage.label(dark)
    return (labels == labels[y, x]) & dark


def _touches_border(bodies: np.ndarray) -> bool:
    return bool(bodies[:, [0, -1]].any() or bodies[:, :, [0, -1]].any())


def _grow(bodies: np.ndarray, by: int) -> np.ndarray:
    return ndimage.binary_dilation(bodies, SQUARE, iterations=by)


def _levels(video: np.ndarray, bodies: np.ndarray, pixel: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Median grey level inside the chamber and of the ring around it, each ``[T]``."""
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
    place = np.arange(weight.shape[1]) + 0.5
    area = weight.sum((1, 2))
    x, y = (weight.sum(axis) @ place / area for axis in (1, 2))
    dx, dy = place - x[:, None], place - y[:, None]
    covariance = np.empty((len(weight), 2, 2))
    covariance[:, 0, 0] = (weight.sum(1) * dx**2).sum(1) / area
    covariance[:, 1, 1] = (weight.sum(2) * dy**2).sum(1) / area
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.einsum("tyx,ty,tx->t", weight, dy, dx) / area
    return area, np.stack([x, y], axis=1), np.linalg.eigvalsh(covariance) + 1 / 12


def _largest_other(dark: np.ndarray, chamber: np.ndarray) -> int:
    """Area of the largest dark object away from the chamber that does not reach the frame's border."""
    labels, count = ndimage.label(dark)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[labels[chamber]] = 0
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        sizes[edge] = 0
    return int(sizes[1:].max(initial=0))


def _beats(area: np.ndarray, length: np.ndarray, volume: np.ndarray) -> Planimetry | None:
    """Find the beats of a volume ``[T]``: an end diastole, then an end systole, then a filling."""
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
