"""The direction of an object that moves straight at constant speed, at any angle.

The counterpart of ``shape_tracker``, whose objects move along an axis. ``bearing`` is defined only if the video shows
one object moving in one direction: a single connected object, from the first to the last frame, of constant colour and
area, that moves steadily along a straight line. Lengths are in pixels of a 64-pixel frame and are scaled to the actual
size.
"""

from __future__ import annotations

import math

import numpy as np

from vcfe_datasets.shapes.shape_tracker import PAUSE, STRAY, Followed

AREA = (0.6, 1.35)
"""Allowed area, relative to that in the first frame."""
BEND = 1.5
"""Largest distance of the object from the straight line between its first and last position."""
LENGTH = (0.6, 1.5)
"""Allowed distance covered, relative to the slowest and the fastest object."""
PROGRESS = 0.4
"""Smallest progress within ``PAUSE`` steps (of 16), relative to that of the slowest object."""
JUMP = 2.0
"""Largest step, relative to that of the fastest object; half a pixel is added for the noise of the tracker."""


def bearing(followed: Followed, slowest: float, fastest: float) -> float | None:
    """Direction in degrees clockwise of up, in [0, 360), or None.

    ``slowest`` and ``fastest`` are the distances (in 1/64 of the side) that the slowest and the fastest object cover in
    one clip.
    """
    path, area = followed.track.path, followed.track.area
    frames, pixel = len(path), followed.side / 64
    if np.isnan(area).any():
        return None
    if (area < AREA[0] * area[0]).any() or (area > AREA[1] * area[0]).any() or (followed.stray > STRAY * area[0]).any():
        return None
    shift = path[-1] - path[0]
    length = float(np.hypot(*shift))
    if not LENGTH[0] * slowest * pixel <= length <= LENGTH[1] * fastest * pixel:
        return None
    along, across = (path - path[0]) @ shift / length, (path - path[0]) @ np.array([-shift[1], shift[0]]) / length
    if abs(across).max() > BEND * pixel:
        return None
    if np.hypot(*np.diff(path, axis=0).T).max() > JUMP * fastest * pixel / (frames - 1) + 0.5 * pixel:
        return None
    pause = max(1, round(PAUSE * (frames - 1) / 16))
    if (along[pause:] - along[:-pause] < PROGRESS * slowest * pixel * pause / (frames - 1)).any():
        return None
    return math.degrees(math.atan2(shift[0], -shift[1])) % 360


def sector(angle: float, count: int) -> int:
    """Index of the sector that contains an angle in degrees, for ``count`` equal sectors, the first centred on 0°."""
    return round(angle * count / 360) % count
