"""Several objects of known colours in one video: each is followed in a video that shows it alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vcfe_datasets.shapes.shape_tracker import Followed, follow


def follow_each(
    pixels: np.ndarray, background: np.ndarray, colours: Sequence[np.ndarray], foreign: float = math.inf
) -> list[tuple[np.ndarray, Followed]]:
    """For each colour, the video in which only the object of that colour is left, and its location in that video.

    Args:
        pixels: the video, ``[T, 3, H, W]`` (0–255).
        background: its colour, ``[3]``.
        colours: colours ``[3]`` of the objects.
        foreign: distance from all blends of background and object colour beyond which a pixel is not the object's.

    The background replaces all pixels that resemble another object more, or that are ``foreign``.
    """
    distances = np.stack([_distance(pixels, background, colour) for colour in colours])
    separated = []
    for k, colour in enumerate(colours):
        others = np.delete(distances, k, axis=0).min(axis=0)
        removed = (others < distances[k]) | (distances[k] > foreign)
        alone = np.where(removed[:, None], background[:, None, None], pixels)
        separated.append((alone, follow(alone, background, colour)))
    return separated


def _distance(pixels: np.ndarray, background: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Distance of the colour of each pixel from the nearest blend of ``background`` and ``colour``, ``[T, H, W]``."""
    contrast, offset = colour - background, pixels - background[:, None, None]
    share = (np.einsum("tchw,c->thw", offset, contrast) / (contrast @ contrast)).clip(0, 1)
    return np.sqrt(((offset - share[:, None] * contrast[:, None, None]) ** 2).sum(1))
