"""Shape-Crowd videos in which the red object has one known corruption, for testing the tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vcfe_datasets.shapes.shape_crowd import THIRD_COLOURS, Scene, path
from vcfe_datasets.shapes.shape_drawing import COLOURS, blank, paint

FRAMES = 17


def _draw(
    scene: Scene,
    steps: np.ndarray,
    centres: np.ndarray,
    sizes: np.ndarray | float | None = None,
    opacity: np.ndarray | float = 1.0,
) -> np.ndarray:
    """The scene with the red object at ``centres``."""
    video = blank(scene.background, FRAMES, 64)
    for mover, step in list(zip(scene.movers, steps, strict=True))[1:]:
        paint(video, mover.shape, mover.colour, path(mover, step, FRAMES), mover.size)
    radius = scene.red.size if sizes is None else sizes
    paint(video, scene.red.shape, scene.red.colour, centres, radius, opacity=opacity)
    return video


def fades(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Opacity falls to 0.1–0.5 at the end."""
    opacity = np.linspace(1, rng.uniform(0.1, 0.5), FRAMES)
    return _draw(scene, steps, path(scene.red, steps[0], FRAMES), opacity=opacity)


def vanishes(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object is gone from some frame on."""
    opacity = (np.arange(FRAMES) < rng.integers(4, FRAMES)).astype(float)
    return _draw(scene, steps, path(scene.red, steps[0], FRAMES), opacity=opacity)


def splits(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A second object leaves the first in the opposite direction."""
    video = _draw(scene, steps, path(scene.red, steps[0], FRAMES))
    paint(video, scene.red.shape, scene.red.colour, path(scene.red, -steps[0], FRAMES), scene.red.size)
    return video


def ghost(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A half-transparent copy stays at the start."""
    still = np.repeat([[scene.red.x, scene.red.y]], FRAMES, 0)
    video = _draw(scene, steps, still, opacity=rng.uniform(0.35, 0.7))
    paint(video, scene.red.shape, scene.red.colour, path(scene.red, steps[0], FRAMES), scene.red.size)
    return video


def recoloured(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object has another colour from some frame on, one that neither bystander has."""
    start = int(rng.integers(3, FRAMES - 1))
    near = [np.array(COLOURS[mover.colour]) for mover in (scene.blue, scene.third)]
    colour = max(THIRD_COLOURS, key=lambda name: min(abs(np.array(COLOURS[name]) - other).sum() for other in near))
    centres = path(scene.red, steps[0], FRAMES)
    video = _draw(scene, steps, centres)
    video[start:] = _draw(replace(scene, red=replace(scene.red, colour=colour)), steps, centres)[start:]
    return video


def doubled(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The area grows to twice its first value, steadily or at once."""
    growth = np.linspace(1, 2, FRAMES) if rng.random() < 0.5 else 1.0 + (np.arange(FRAMES) > rng.integers(3, 15))
    return _draw(scene, steps, path(scene.red, steps[0], FRAMES), scene.red.size * np.sqrt(growth))


def stops(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object stops after half of its way and stays there."""
    return _draw(scene, steps, path(scene.red, steps[0], FRAMES)[np.minimum(np.arange(FRAMES), FRAMES // 2)])


def jumps(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object covers most of its way in a single step."""
    return _draw(scene, steps, path(scene.red, steps[0], FRAMES)[np.where(np.arange(FRAMES) < 8, 0, FRAMES - 1)])


def bends(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object turns by 90° halfway."""
    centres = path(scene.red, steps[0], FRAMES)
    sideways = path(scene.red, steps[0] @ np.array([[0, 1], [-1, 0]]), FRAMES)
    half = FRAMES // 2
    centres[half:] = centres[half] + sideways[: FRAMES - half] - sideways[0]
    return _draw(scene, steps, centres)


def stands(scene: Scene, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object does not move."""
    return _draw(scene, steps, np.repeat([[scene.red.x, scene.red.y]], FRAMES, 0))


CORRUPTIONS: dict[str, Callable[[Scene, np.ndarray, np.random.Generator], np.ndarray]] = {
    f.__name__: f for f in (fades, vanishes, splits, ghost, recoloured, doubled, stops, jumps, bends, stands)
}
