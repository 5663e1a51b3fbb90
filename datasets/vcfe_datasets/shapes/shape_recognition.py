"""The oracle of Shape-Scenes: recognition of the objects in a video by analysis and synthesis.

Lengths are in units of 1/64 of the frame's side.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vcfe_datasets.shapes.shape_drawing import AREAS, BACKGROUNDS, COLOURS, SHAPES, blank, paint
from vcfe_datasets.shapes.shape_scene import LOOKS, SIZES, Item, Scene, render

TOLERANCE = 0.15
"""Largest squared residual of a frame, as a fraction of the squared difference between object and background."""
CONTRAST = 40.0
"""Difference (of 255) from the background above which a pixel belongs to an object."""
FAINT = 0.2
"""Opacity below which a pixel does not contribute to an object's area and position."""
SMALLEST = 2.0 * min(SIZES) ** 2
"""Area of the smallest object."""
VARIANTS = {"translating": 4, "turning": 2}
"""Number of headings that are distinguishable, by motion; 1 for the others."""


def recognise(video: np.ndarray, background: str) -> tuple[Item, ...] | None:
    """The objects in ``video [T, 3, H, W]`` (0–255), by quarter of the frame; None if a quarter shows anything else.

    Colour, shape, size and position are estimated from the first frame; the motion is the one whose rendering is
    nearest to the video. In each quarter of each frame, the squared residual may be at most ``TOLERANCE`` times the
    squared difference between object and background in the first frame.
    """
    frames, _, _, side = video.shape
    back = np.array(BACKGROUNDS[background], float)[:, None, None]
    faintest = min(((np.array(colour)[:, None, None] - back) ** 2).sum() for colour in COLOURS.values())
    items = []
    for quarter in range(4):
        part = _cut(video, quarter)
        residual, own = ((part - back) ** 2).sum((1, 2, 3)), faintest * SMALLEST * (side / 64) ** 2
        if (abs(part[0] - back).max(0) > CONTRAST).sum() > SMALLEST / 4 * (side / 64) ** 2:
            start = _start(video[0], quarter, background)
            if start is None:
                return None
            guesses = [
                replace(start, motion=look.motion, heading=heading)
                for look in LOOKS
                if look[:2] == start.look[:2]
                for heading in range(VARIANTS.get(look.motion, 1))
            ]
            renderings = [_cut(render(Scene(background, (item,)), frames, side), quarter) for item in guesses]
            residuals = [((part - rendering) ** 2).sum((1, 2, 3)) for rendering in renderings]
            best = int(np.argmin([values.sum() for values in residuals]))
            residual, own = residuals[best], ((renderings[best][0] - back) ** 2).sum()
            items.append(guesses[best])
        if (residual > TOLERANCE * own).any():
            return None
    return tuple(items)


def _start(frame: np.ndarray, quarter: int, background: str) -> Item | None:
    """The object in a quarter of the first frame ``[3, H, W]``, with the motion ``standing``; None if there is none."""
    side = frame.shape[-1]
    back = np.array(BACKGROUNDS[background], float)[:, None, None]
    offset = _cut(frame, quarter) - back

    def cover(colour: str) -> np.ndarray:
        contrast = np.array(COLOURS[colour])[:, None, None] - back
        return ((offset * contrast).sum(0) / (contrast**2).sum()).clip(0, 1)

    def residual(colour: str) -> float:
        return ((offset - cover(colour) * (np.array(COLOURS[colour])[:, None, None] - back)) ** 2).sum()

    colour = min(COLOURS, key=residual)
    share = cover(colour)
    share[share < FAINT] = 0
    if not share.any():
        return None
    area = share.sum() * (64 / side) ** 2
    corner = side // 2 * np.array([quarter % 2, quarter // 2])
    y, x = (np.indices(share.shape) + 0.5).reshape(2, -1) @ share.ravel() / share.sum() + corner[::-1]
    guesses = []
    for shape in SHAPES:
        size = float(np.sqrt(area / AREAS[shape]))
        middle = float(y * 64 / side) - (size / 3 if shape == "triangle" else 0)
        guesses.append(Item(shape, colour, "standing", size, float(x * 64 / side), middle, 0))

    def mismatch(item: Item) -> float:
        drawn = blank(background, 1, side)
        paint(drawn, item.shape, item.colour, np.array([[item.x, item.y]]), item.size)
        return (_cut(drawn[0] - frame, quarter) ** 2).sum()

    return min(guesses, key=mismatch)


def _cut(video: np.ndarray, quarter: int) -> np.ndarray:
    """One quarter of the frames ``[..., H, W]``: top left, top right, bottom left, bottom right."""
    half = video.shape[-1] // 2
    rows, columns = (slice(half, None) if k else slice(half) for k in divmod(quarter, 2))
    return video[..., rows, columns]
