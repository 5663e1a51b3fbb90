"""Tracking of an object of known colour over a plain background: the tracker and the oracle of Shape-Moving.

``follow`` locates the object in every frame. ``track`` returns a track only if the video shows one object moving in one
direction: a single connected object that is present from the first to the last frame, keeps its colour and area, and
moves steadily along one axis until it touches the border or the clip ends. Lengths are in pixels of a 64-pixel frame
and are scaled to the actual size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vcfe_bench import interfaces
from vcfe_datasets.shapes.shape_drawing import AREAS, CENTROIDS, RGB, blank, paint

SOLID = 0.5
"""Smallest opacity of a pixel of an object."""
FAINT = 0.2
"""Smallest opacity of a pixel that counts at all, for instance as part of a ghost of the object."""
STRAY = 0.10
"""Largest opacity-weighted area away from the object, as a fraction of the object's area in the first frame."""
AREA = (0.6, 1.5)
"""Allowed range of the area, as a fraction of the area in the first frame."""
OPACITY = 0.8
"""Smallest mean opacity of the object's core."""
TINT = 40.0
"""Largest mean distance (of 255) of the core's colours from the line between background and object colour."""
DRIFT = 3.0
"""Largest deviation perpendicular to the motion, and largest step backwards."""
PAUSE = 4
"""Number of steps (of 16) within which the object has to make progress."""
TOUCH = 1.75
"""Distance from the border below which the object counts as having reached it."""
TRAVEL = 8.0
"""Shortest displacement that counts as motion."""
CONTRAST = 40.0
"""Difference (of 255) from the background above which a pixel belongs to an object of any colour."""
LEAST = {"size": 0.5, "speed": 3.0, "x": 2.0, "y": 2.0}
"""Smallest difference that counts as a change of a measured attribute: about half the difference between two of the
values from which scenes are drawn."""
FASTER = 0.8
"""Quantile of the step lengths that certainly belongs to a moving object: it may rest at the border for two thirds of a
clip, and a jump affects few steps."""


@dataclass(frozen=True)
class Track(interfaces.Track):
    """A track without gaps and the ``direction`` of its motion: 0 up, 1 down, 2 left, 3 right."""

    direction: int


@dataclass(frozen=True)
class Followed:
    """Location of an object in each frame; rows of frames without a solid object of its colour are NaN.

    Attributes:
        track: centroids, areas and boxes.
        stray: area of pixels of the object's colour away from the object, ``[T]``, in pixels.
        side: side of the frame, in pixels.
    """

    track: interfaces.Track
    stray: np.ndarray
    side: int


def follow(video: np.ndarray, background: np.ndarray, colour: np.ndarray) -> Followed:
    """Follow the object of ``colour`` over ``background`` (RGB, 0–255) in ``video [T, 3, H, W]`` (0–255)."""
    contrast = colour - background
    offset = video - background[:, None, None]
    alpha = np.einsum("tchw,c->thw", offset, contrast) / (contrast @ contrast)
    tint = np.sqrt(((offset - alpha[:, None] * contrast[:, None, None]) ** 2).sum(1))
    halo = round(2 * video.shape[2] / 64)
    rows = np.array([_object(a, t, halo) for a, t in zip(alpha, tint, strict=True)])
    return Followed(interfaces.Track(rows[:, :2], rows[:, 2], rows[:, 3:7]), rows[:, 7], video.shape[-1])


def track(followed: Followed, slowest: float, fastest: float) -> Track | None:
    """The track of an object that is present in every frame and moves steadily in one direction, else None.

    ``slowest`` and ``fastest`` are the distances (in 1/64 of the side) that the slowest and the fastest object travel
    in one clip.
    """
    path, area, boxes = followed.track.path, followed.track.area, followed.track.boxes
    frames, pixel = len(path), followed.side / 64
    if np.isnan(area).any():
        return None
    if (area < AREA[0] * area[0]).any() or (area > AREA[1] * area[0]).any() or (followed.stray > STRAY * area[0]).any():
        return None

    steps = np.diff(path, axis=0)
    if (np.hypot(*steps.T) > 2 * fastest * pixel / (frames - 1)).any():
        return None
    direction = _direction(path, boxes, followed.side, slowest * pixel / (frames - 1), pixel)
    return None if direction is None else Track(path, area, boxes, direction)


def colours(video: np.ndarray, background: str, names: Sequence[str]) -> list[str]:
    """The colour among ``names`` nearest to the largest object, for each frame ``[3, H, W]`` (0–255) that shows one."""
    back = np.array(RGB[background], float)
    palette = np.array([RGB[name] for name in names], float)
    nearest = []
    for frame in video:
        body = _largest((abs(frame - back[:, None, None]) > CONTRAST).any(axis=0))
        core = ndimage.binary_erosion(body, border_value=1)
        if core.any():
            distances = np.linalg.norm(palette - frame[:, core].mean(axis=1), axis=1)
            nearest.append(names[int(distances.argmin())])
    return nearest


def measure(
    video: np.ndarray, followed: Followed, background: str, colour: str, shapes: Sequence[str]
) -> dict[str, str | float | None] | None:
    """``shape``, ``size``, ``speed`` and start (``x``, ``y``) of the object ``followed`` in ``video`` (0–255).

    Numbers are in units of ``LEAST``. ``shape`` is the best match among ``shapes``, None if it changes. ``size``
    assumes the shape of the first frame that shows the object. ``speed`` is None if the object disappears temporarily.
    Returns None if no frame shows the object.
    """
    path, areas = followed.track.path, followed.track.area
    seen = np.flatnonzero(~np.isnan(areas))
    if not len(seen):
        return None
    unit = 64 / video.shape[-1]
    shape, *later = (
        _shape(video[i], background, colour, path[i] * unit, areas[i] * unit**2, shapes)
        for i in (seen[0], seen[len(seen) // 2], seen[-1])
    )
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    moving = steps[~(steps < np.quantile(steps, FASTER) / 2)]
    measured = {
        "size": np.sqrt(np.nanmedian(areas) / AREAS[shape]) * unit,
        "speed": np.median(moving) * (len(video) - 1) * unit,
        "x": path[seen[0], 0] * unit,
        "y": path[seen[0], 1] * unit,
    }
    return {
        "shape": shape if later == [shape] * 2 else None,
        **{name: None if np.isnan(value) else float(value / LEAST[name]) for name, value in measured.items()},
    }


def _shape(
    frame: np.ndarray, background: str, colour: str, centre: np.ndarray, area: float, shapes: Sequence[str]
) -> str:
    """The shape whose rendering with that centroid and area is nearest to ``frame [3, H, W]``; lengths in 1/64."""

    def mismatch(shape: str) -> float:
        size = np.sqrt(area / AREAS[shape])
        middle = centre - size * np.array(CENTROIDS.get(shape, (0, 0)))
        drawn = blank(background, 1, frame.shape[-1])
        paint(drawn, shape, colour, middle[None], size)
        return ((drawn[0] - frame) ** 2).sum()

    return min(shapes, key=mismatch)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected component of a mask; all False if there is none."""
    labels, count = ndimage.label(mask)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax() if count else mask


def _object(alpha: np.ndarray, tint: np.ndarray, halo: int) -> list[float]:
    """Centroid (x, y), area, box (left, top, right, bottom) and stray area of the largest object of a frame, or NaN."""
    body = _largest(alpha > SOLID)
    if not body.any():
        return [np.nan] * 8
    near = ndimage.binary_dilation(body, iterations=halo)
    stray = float(np.where(near | (alpha < FAINT), 0, alpha).sum())
    core = ndimage.binary_erosion(body, border_value=1)
    if not core.any() or alpha[core].mean() < OPACITY or tint[core].mean() > TINT:
        return [np.nan] * 8
    weight = np.where(near, alpha.clip(0, 1), 0)
    weight[weight < FAINT] = 0
    area = float(weight.sum())
    rows, columns = weight.sum(1), weight.sum(0)
    centre = np.array([columns @ (np.arange(columns.size) + 0.5), rows @ (np.arange(rows.size) + 0.5)]) / area
    y, x = np.nonzero(body)
    return [*centre, area, x.min(), y.min(), x.max() + 1, y.max() + 1, stray]


def _direction(path: np.ndarray, boxes: np.ndarray, side: int, slowest: float, pixel: float) -> int | None:
    """The direction of a steady motion along one axis, or None. ``slowest`` is in pixels per frame."""
    shift = path[-1] - path[0]
    axis = int(abs(shift[1]) > abs(shift[0]))
    sign = 1 if shift[axis] > 0 else -1
    along = sign * (path[:, axis] - path[0, axis])
    across = path[:, 1 - axis] - path[0, 1 - axis]
    gap = side - boxes[:, 2 + axis] if sign > 0 else boxes[:, axis]
    if along[-1] < TRAVEL * pixel or abs(across).max() > DRIFT * pixel or np.diff(along).min() < -DRIFT * pixel:
        return None
    pause = max(1, round(PAUSE * (len(path) - 1) / 16))
    gained = along[pause:] - along[:-pause]
    arrived = gap[pause:] <= TOUCH * pixel
    if (~arrived & (gained < 0.5 * slowest * pause)).any():
        return None
    return {(1, -1): 0, (1, 1): 1, (0, -1): 2, (0, 1): 3}[axis, sign]
