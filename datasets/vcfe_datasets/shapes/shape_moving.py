"""Shape-Moving: one object moves towards a border of the frame; the class is the direction.

A procedural reimplementation of the dataset of the BTTF paper (arXiv 2511.20295, sections 4.1 and C.1): 64,000 videos,
16,000 for each class, 16 fps, split 4:1 into training and validation, and 12,800 test videos.
``shape_moving[frames=65,size=224]`` has the paper's clip format; the default is a small format of 17 frames of 64×64
pixels. Lengths below are in units of 1/64 of the frame's side.

A scene (shape, colour, background, size, speed, start) is independent of the label: each scene can be rendered with
each of the four labels, and its first frame is the same for all of them. The object moves at constant speed and stops
when it touches the border.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import AttributeValue, Sample, Split, Target, Track
from vcfe_datasets.shapes import shape_tracker
from vcfe_datasets.shapes.shape_drawing import (
    BACKGROUNDS,
    COLOURS,
    OTHER_BACKGROUNDS,
    OTHER_COLOURS,
    OTHER_SHAPES,
    RGB,
    SHAPES,
    blank,
    paint,
)
from vcfe_datasets.shapes.shape_tracker import colours, follow, measure, track
from vcfe_datasets.shapes.shape_world import FPS, Draws, ShapeParams, ShapeWorld

CLASSES = ("up", "down", "left", "right")
DIRECTIONS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])
"""Unit step (x, y) of each class."""
OPPOSITE = (1, 0, 3, 2)
"""Opposite class of each class."""
SIZES = (7.0, 8.0, 9.0)
"""Half the side of the object's bounding box."""
SPEEDS = (20.0, 26.0, 32.0)
"""Distance travelled in one clip if no border is reached; in 16 steps, 1.25, 1.625 and 2 pixels per frame at 64×64."""
MARGIN = 10.0
"""Distance between the initial bounding box and every border, and so the shortest distance that any object travels."""
COUNT = 64_000
"""Number of training and validation videos together."""


class Look(NamedTuple):
    """The options from which scenes are drawn."""

    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    backgrounds: tuple[str, ...]


LOOKS = {
    "plain": Look(SHAPES, tuple(COLOURS), tuple(BACKGROUNDS)),
    "other": Look(OTHER_SHAPES, tuple(OTHER_COLOURS), tuple(OTHER_BACKGROUNDS)),
}


@dataclass(frozen=True)
class Scene:
    """Everything that determines a video except its label.

    Attributes:
        shape: name of the shape.
        colour: name of the object's colour.
        background: name of the background's colour.
        size: half the side of the bounding box, in 1/64 of the frame's side.
        speed: distance travelled in one clip if no border is reached, in 1/64 of the frame's side.
        x: initial centre of the bounding box, in 1/64 of the frame's side.
        y: initial centre of the bounding box, downwards.
    """

    shape: str
    colour: str
    background: str
    size: float
    speed: float
    x: float
    y: float


def scene(index: int, seed: int = 0, look: str = "plain") -> Scene:
    """Scene ``index`` of a seed."""
    draws = Draws(seed, index)
    shape, colour, background = (draws.pick(options) for options in LOOKS[look])
    size, speed = draws.pick(SIZES), draws.pick(SPEEDS)
    free = 64 - 2 * (MARGIN + size)
    x, y = (MARGIN + size + free * draws.uniform() for _ in range(2))
    return Scene(shape, colour, background, size, speed, x, y)


def path(scene: Scene, label: int, frames: int) -> np.ndarray:
    """Centres ``[frames, 2]`` as (x, y) in 1/64 of the side: constant speed until the box touches the border."""
    start = np.array([scene.x, scene.y])
    step = DIRECTIONS[label]
    gap = abs((step > 0).any() * 64 - (start * abs(step)).sum()) - scene.size
    distance = np.minimum(scene.speed * np.arange(frames) / (frames - 1), gap)
    return start + distance[:, None] * step


def render(scene: Scene, centres: np.ndarray, size: int = 64) -> np.ndarray:
    """Video of the scene's object at ``centres [T, 2]`` (in 1/64 of the side), uint8 ``[T, 3, size, size]``."""
    video = blank(scene.background, len(centres), size)
    paint(video, scene.shape, scene.colour, centres, scene.size)
    return video


@validated(frozen=True, config={"extra": "forbid"})
class ShapeMovingParams(ShapeParams):
    """``frames`` and ``size`` (pixels) set the clip format; another ``seed`` yields another 64,000 scenes.

    ``look``: ``other`` selects shapes, colours and backgrounds that the embedded networks were not trained on.
    """

    look: Literal["plain", "other"] = "plain"


class ShapeMoving(ShapeWorld):
    """One object moves up, down, left or right: the class is pure motion, and a tracker serves as oracle."""

    Params = ShapeMovingParams
    params: ShapeMovingParams
    classes = CLASSES
    count = COUNT
    target = "m_swin"
    transfer_targets = ("m_swin", "m_c3d")
    generator = "wan_shape_moving"
    corruptions = ("teleports", "fades", "recoloured")
    cause = ("direction",)
    identity = ("shape", "colour", "size")

    def pixels(self, scene: Scene, label: int) -> np.ndarray:
        """The scene rendered with a label, uint8 ``[T, 3, H, W]``."""
        return render(scene, path(scene, label, self.params.frames), self.params.size)

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content = scene(number, self.params.seed, self.params.look)
        label = number % 4
        video = torch.from_numpy(self.pixels(content, label)).float() / 255
        return Sample(f"{number:05d}", video, label, FPS, asdict(content))

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Half of the clips are reversed and get the opposite label: motion is then informative and position is not."""
        sample = self.sample("train", index)
        if rng.random() < 0.5:
            return sample.video.flip(0), OPPOSITE[int(sample.label)]
        return sample.video, int(sample.label)

    @torch.no_grad()
    def controls(self, target: Target, limit: int, split: Split = "test") -> dict[str, float]:
        """``reversed_opposite``: share of videos whose reversed version is predicted to move in the opposite direction.

        It is high only for a target that relies on motion. The prediction of a target that relies on position would
        stay the same.
        """
        hits = 0
        for first in range(0, limit, 32):
            samples = [self.sample(split, index) for index in range(first, min(first + 32, limit))]
            predicted = target(torch.stack([s.video.flip(0) for s in samples])).argmax(1).tolist()
            hits += sum(p == OPPOSITE[int(s.label)] for p, s in zip(predicted, samples, strict=True))
        return {"reversed_opposite": hits / limit}

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_moving.md").read_text()

    def track(self, sample: Sample, video: Tensor) -> Track | None:
        seen = follow(_pixels(video), *_colours(Scene(**sample.attributes))).track
        return None if np.isnan(seen.area).all() else seen

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        motion = _steady(follow(_pixels(video), *_colours(Scene(**sample.attributes))))
        return None if motion is None else motion.direction

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """``direction``, ``colour`` and the attributes that ``shape_tracker.measure`` returns.

        ``direction`` is None if the object does not move in one direction, ``colour`` if it changes.
        """
        content, pixels = Scene(**sample.attributes), _pixels(video)
        look = LOOKS[self.params.look]
        seen = colours(pixels, content.background, look.colours)
        if not seen:
            return None
        followed = follow(pixels, *_colours(replace(content, colour=seen[0])))
        measured = measure(pixels, followed, content.background, seen[0], look.shapes)
        if measured is None:
            return None
        motion = _steady(followed)
        direction = None if motion is None else CLASSES[motion.direction]
        return {"direction": direction, "colour": seen[0] if len(set(seen)) == 1 else None, **measured}

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        if not isinstance(goal, ClassGoal):
            raise NotImplementedError(f"Shape-Moving renders directions, not {goal}")
        return torch.from_numpy(self.pixels(Scene(**sample.attributes), goal.index)).float() / 255

    def corrupted_edit(self, sample: Sample, goal: Goal, corruption: str) -> Tensor:
        """The true edit with a corruption of the object: it ``teleports`` aside by ``MARGIN`` for the middle third of
        the clip, ``fades`` to a fifth of its opacity over the clip, or is ``recoloured`` in the second half."""
        if not isinstance(goal, ClassGoal):
            raise NotImplementedError(f"Shape-Moving renders directions, not {goal}")
        content, frames = Scene(**sample.attributes), self.params.frames
        centres, opacity = path(content, goal.index, frames), np.ones(frames)
        colours = [content.colour] * 2
        match corruption:
            case "teleports":
                centres[frames // 3 : 2 * frames // 3] += MARGIN * DIRECTIONS[goal.index][::-1]
            case "fades":
                opacity = np.linspace(1, 0.2, frames)
            case "recoloured":
                colours[1] = next(colour for colour in LOOKS[self.params.look].colours if colour != content.colour)
            case _:
                raise ValueError(f"the corruptions are {', '.join(self.corruptions)}, not {corruption}")
        video = blank(content.background, frames, self.params.size)
        for half, colour in zip((slice(frames // 2), slice(frames // 2, frames)), colours, strict=True):
            paint(video[half], content.shape, colour, centres[half], content.size, opacity=opacity[half])
        return torch.from_numpy(video).float() / 255


def _steady(followed: shape_tracker.Followed) -> shape_tracker.Track | None:
    """The track of an object that moves like the objects of this dataset, else None."""
    return track(followed, slowest=min(SPEEDS), fastest=max(SPEEDS))


def _pixels(video: Tensor) -> np.ndarray:
    """A video ``[T, 3, H, W]`` in [0, 1] as an array of values from 0 to 255."""
    return video.clamp(0, 1).numpy() * 255


def _colours(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Background and object colour (RGB, 0–255)."""
    return np.array(RGB[scene.background], float), np.array(RGB[scene.colour], float)
