"""Shapes, colours and the antialiased drawing of objects for the shape datasets.

Only sums, products, square roots and comparisons of float64 numbers are used, so videos are identical on every machine,
bit for bit. Lengths are in units of 1/64 of the frame's side.
"""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "square", "triangle", "diamond")
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 70),
    "blue": (50, 90, 230),
    "yellow": (250, 220, 40),
    "magenta": (220, 60, 210),
    "cyan": (50, 210, 220),
}
BACKGROUNDS = {"black": (20, 20, 28), "white": (235, 235, 230), "slate": (70, 80, 100), "sand": (190, 170, 130)}
OTHER_SHAPES = ("ring", "cross", "ell", "tee")
OTHER_COLOURS = {
    "orange": (240, 140, 40),
    "purple": (130, 60, 200),
    "pink": (245, 150, 190),
    "lime": (160, 230, 60),
    "teal": (20, 120, 120),
    "ivory": (255, 250, 200),
}
OTHER_BACKGROUNDS = {"navy": (30, 40, 90), "olive": (100, 110, 50), "grey": (150, 150, 150), "wine": (90, 30, 50)}
RGB = {**COLOURS, **BACKGROUNDS, **OTHER_COLOURS, **OTHER_BACKGROUNDS}
HOLE = 0.4
"""Radius of a ring's hole, as a fraction of the ring's radius."""
ARM = 0.45
"""Width of a bar of a cross, ell or tee, as a fraction of its length."""
AREAS = {
    "disc": np.pi,
    "square": 4.0,
    "triangle": 2.0,
    "diamond": 2.0,
    "ring": np.pi * (1 - HOLE**2),
    **dict.fromkeys(("cross", "ell", "tee"), 4 * ARM * (2 - ARM)),
}
"""Area of each shape at the bounding box ``[-1, 1]²``."""
_SHIFT = (1 - ARM) ** 2 / (4 - 2 * ARM)
CENTROIDS = {"triangle": (0.0, 1 / 3), "ell": (-_SHIFT, _SHIFT), "tee": (0.0, -_SHIFT)}
"""Centroid (x, y) at the bounding box ``[-1, 1]²`` of each shape whose centroid is not the centre of the box."""


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """Signed distance to the outline of a shape with the bounding box ``[-radius, radius]²``; negative inside."""
    if shape == "disc":
        return np.sqrt(x * x + y * y) - radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - radius
    if shape == "ring":
        return abs(np.sqrt(x * x + y * y) - radius * (1 + HOLE) / 2) - radius * (1 - HOLE) / 2
    if shape == "diamond":
        return (abs(x) + abs(y) - radius) * np.sqrt(0.5)
    if shape in OTHER_SHAPES:
        return _distance_to_bars(shape, x, y, radius)
    return np.maximum(y - radius, (2 * abs(x) - y - radius) * np.sqrt(0.2))


def _distance_to_bars(shape: str, x: np.ndarray, y: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """Signed distance to the union of a horizontal and a vertical bar.

    Near the inner corners it is the distance along one axis, not the Euclidean distance.
    """
    width = ARM * radius
    edge = radius - width
    left = edge if shape == "ell" else 0.0
    down = {"ell": edge, "tee": -edge}.get(shape, 0.0)
    across = np.maximum(abs(x) - radius, abs(y - down) - width)
    return np.minimum(across, np.maximum(abs(x + left) - width, abs(y) - radius))


def blank(background: str, frames: int, size: int) -> np.ndarray:
    """Frames that show only the background, uint8 ``[frames, 3, size, size]``."""
    video = np.empty((frames, 3, size, size), np.uint8)
    video[:] = np.array(RGB[background], np.uint8)[:, None, None]
    return video


def paint(
    video: np.ndarray,
    shape: str,
    colour: str,
    centres: np.ndarray,
    radius: float | np.ndarray,
    turn: np.ndarray | None = None,
    opacity: float | np.ndarray = 1.0,
) -> None:
    """Draw one object over ``video``, uint8 ``[T, 3, size, size]``.

    Args:
        video: frames, modified in place.
        shape: name of the shape.
        colour: name of the colour.
        centres: centre (x, y) of the object in each frame, ``[T, 2]``.
        radius: half the side of the bounding box of the unrotated object; one number, or one for each frame ``[T]``.
        turn: cosine and sine of a clockwise rotation in each frame, ``[T, 2]``; None for no rotation.
        opacity: from 0 to 1; one number, or one for each frame ``[T]``.

    Only a window around each centre is computed, and parts outside the frame are clipped. The antialiased edge is one
    pixel wide.
    """
    frames, _, size, _ = video.shape
    centres, radii = centres * (size / 64), np.broadcast_to(radius, frames)[:, None, None] * (size / 64)
    extent = radii.max() if turn is None else radii.max() * np.sqrt(2)
    window = 2 * int(np.ceil(extent)) + 3
    corner = np.floor(centres).astype(int) - window // 2
    offset = (corner - centres)[:, :, None] + (np.arange(window) + 0.5)
    across, down = offset[:, 0, None, :], offset[:, 1, :, None]
    if turn is not None:
        cosine, sine = turn[:, 0, None, None], turn[:, 1, None, None]
        across, down = cosine * across + sine * down, cosine * down - sine * across
    alpha = np.minimum(np.maximum(0.5 - signed_distance(shape, across, down, radii), 0), 1)
    alpha = alpha * np.broadcast_to(opacity, frames)[:, None, None]
    front = np.array(RGB[colour])[:, None, None]
    low = np.maximum(corner, 0)
    high = np.maximum(np.minimum(corner + window, size), low)
    inside = [tuple(map(slice, *ends)) for ends in zip((low - corner).tolist(), (high - corner).tolist(), strict=True)]
    onto = [tuple(map(slice, *ends)) for ends in zip(low.tolist(), high.tolist(), strict=True)]
    below = np.zeros((frames, 3, window, window), np.uint8)
    for patch, frame, (u, v), (x, y) in zip(below, video, inside, onto, strict=True):
        patch[:, v, u] = frame[:, y, x]
    blended = (below + 0.5 + alpha[:, None] * (front - below)).astype(np.uint8)
    for patch, frame, (u, v), (x, y) in zip(blended, video, inside, onto, strict=True):
        frame[:, y, x] = patch[:, v, u]
