"""Echo-phantom videos with one known corruption each, as grey levels ``[T, 64, 64]``, for testing the planimetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vcfe_datasets.echo.echo_phantom import TISSUE, Scene, contraction, render, semi_axes

FRAMES = 17


def beating(scene: Scene, label: float) -> np.ndarray:
    """The correct video."""
    return render(scene, semi_axes(scene, label))[np.arange(FRAMES) % scene.period]


def frozen(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """One frame is repeated throughout."""
    return np.repeat(beating(scene, label)[rng.integers(FRAMES)][None], FRAMES, axis=0)


def vanishes(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """From a random frame on, the chamber stays closed."""
    video = beating(scene, label)
    video[rng.integers(3, FRAMES) :] = render(scene, semi_axes(scene, 0)[:1] / 50)
    return video


def fades(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """The contrast decreases to 0–0.3 at the end."""
    video, level = beating(scene, label), TISSUE * scene.gain
    kept = np.linspace(1, rng.uniform(0, 0.3), FRAMES)[:, None, None]
    return (level + kept * (video - level)).astype(np.uint8)


def flickers(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """End diastole and end systole alternate frame by frame."""
    beat = render(scene, semi_axes(scene, label))
    return beat[[0, int(contraction(scene.period).argmax())]][np.arange(FRAMES) % 2]


def dims(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """Some frames have 0.4 to 0.7 of the brightness."""
    video = beating(scene, label)
    dark = rng.choice(FRAMES, size=3, replace=False)
    video[dark] = (video[dark] * rng.uniform(0.4, 0.7)).astype(np.uint8)
    return video


def two_chambers(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """A second, smaller chamber beats next to the first."""
    other = beating(replace(scene, x=32.0, y=32.0, tilt=0.0, short=5.0, long=rng.uniform(6, 8)), label)
    video, x = beating(scene, label), 13 if scene.x > 32 else 51
    video[:, 33:57, x - 8 : x + 8] = other[:, 20:44, 24:40]
    return video


def leaks(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """A dark channel leads from the chamber out of the sector."""
    video, row = beating(scene, label), int(scene.y)
    columns = slice(int(scene.x), None) if rng.random() < 0.5 else slice(None, int(scene.x))
    video[:, row - 1 : row + 2, columns] = 0
    return video


def jumps(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """All tissue jumps sideways by 4 to 6 pixels at some frame."""
    video, start = beating(scene, label), rng.integers(2, FRAMES)
    video[start:] = np.roll(video[start:], rng.integers(4, 7) * rng.choice([-1, 1]), axis=2)
    return video


def one_beat(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """The clip contains a single, slow beat."""
    axes = semi_axes(scene, label)
    place = np.linspace(0, scene.period - 1, FRAMES)
    slow = np.stack([np.interp(place, np.arange(scene.period), axis) for axis in axes.T], axis=1)
    return render(scene, slow)


def unequal_beats(scene: Scene, label: float, rng: np.random.Generator) -> np.ndarray:
    """Beats of an ejection fraction of 60 and of 20 to 40 percent alternate."""
    beats = np.concatenate([render(scene, semi_axes(scene, value)) for value in (60, rng.uniform(20, 40))])
    return beats[np.arange(FRAMES) % len(beats)]


CORRUPTIONS: dict[str, Callable[[Scene, float, np.random.Generator], np.ndarray]] = {
    f.__name__: f
    for f in (frozen, vanishes, fades, flickers, dims, two_chambers, leaks, jumps, one_beat, unequal_beats)
}
