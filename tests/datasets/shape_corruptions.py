"""Shape-Moving videos with one known corruption each, for testing the tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vcfe_datasets.shapes.shape_moving import BACKGROUNDS, COLOURS, DIRECTIONS, SPEEDS, Scene, path, render

FRAMES = 17


def _over(below: np.ndarray, above: np.ndarray, scene: Scene) -> np.ndarray:
    back = np.array(BACKGROUNDS[scene.background])[:, None, None]
    return np.where((above != back).any(1, keepdims=True), above, below)


def _blend(video: np.ndarray, scene: Scene, opacity: np.ndarray) -> np.ndarray:
    back = np.array(BACKGROUNDS[scene.background])[:, None, None]
    return (back + opacity[:, None, None, None] * (video.astype(float) - back)).round().astype(np.uint8)


def fades(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """The opacity decreases to 0.1–0.5 at the end."""
    video = render(scene, path(scene, label, FRAMES))
    return _blend(video, scene, np.linspace(1, rng.uniform(0.1, 0.5), FRAMES))


def vanishes(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """From a random frame on, the object is missing."""
    video = render(scene, path(scene, label, FRAMES))
    return _blend(video, scene, (np.arange(FRAMES) < rng.integers(4, FRAMES)).astype(float))


def splits(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """A second object leaves the first in another direction."""
    other = (label + rng.integers(1, 4)) % 4
    return _over(*(render(scene, path(scene, k, FRAMES)) for k in (label, other)), scene)


def ghost(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """A half-transparent copy remains at the start."""
    moving = render(scene, path(scene, label, FRAMES))
    still = render(scene, np.repeat([[scene.x, scene.y]], FRAMES, 0))
    return _over(_blend(still, scene, np.full(FRAMES, rng.uniform(0.35, 0.7))), moving, scene)


def recoloured(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """From a random frame on, the object has another colour of the palette."""
    other = rng.choice([name for name in COLOURS if name != scene.colour])
    centres = path(scene, label, FRAMES)
    video, changed = render(scene, centres), render(replace(scene, colour=str(other)), centres)
    start = rng.integers(3, FRAMES - 1)
    video[start:] = changed[start:]
    return video


def doubled(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """The area doubles, gradually or at once, entirely inside the frame."""
    growth = np.linspace(1, 2, FRAMES) if rng.random() < 0.5 else 1.0 + (np.arange(FRAMES) > rng.integers(3, 15))
    sizes = scene.size * np.sqrt(growth)[:, None]
    centres = np.clip(path(scene, label, FRAMES), sizes, 64 - sizes)
    frames = [render(replace(scene, size=float(r)), c[None])[0] for (r,), c in zip(sizes, centres, strict=True)]
    return np.stack(frames)


def stops(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """The object stops halfway."""
    centres = path(scene, label, FRAMES)
    way = abs(centres - centres[0]).sum(1)
    return render(scene, centres[np.minimum(np.arange(FRAMES), np.searchsorted(way, way[-1] / 2))])


def jumps(scene: Scene, label: int, rng: np.random.Generator) -> np.ndarray:
    """The object moves by 2.2 to 4 times the top speed in one step, in any direction that keeps it inside the frame."""
    centres = path(scene, label, FRAMES)
    top = max(SPEEDS) / (FRAMES - 1)
    while True:
        moved, start = centres.copy(), rng.integers(2, FRAMES - 1)
        step = centres[start] - centres[start - 1]
        moved[start:] += rng.uniform(2.2, 4) * top * DIRECTIONS[rng.integers(4)] - step
        if ((moved >= scene.size) & (moved <= 64 - scene.size)).all():
            return render(scene, moved)


CORRUPTIONS: dict[str, Callable[[Scene, int, np.random.Generator], np.ndarray]] = {
    f.__name__: f for f in (fades, vanishes, splits, ghost, recoloured, doubled, stops, jumps)
}
