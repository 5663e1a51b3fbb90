"""Shape-Moving: one object moves towards a border; the class is the side it moves to.

The dataset of the BTTF paper (arXiv 2511.20295, sections 4.1 and C.1) rebuilt as a procedure: 64,000 videos,
16,000 a class, 16 fps, split 4:1. ``shape_moving[frames=65,size=224]`` has the paper's shape; the default
is the embedded form of 17 frames of 64×64. Lengths below are in units of 1/64 of the frame's side.

A scene (shape, colour, background, size, speed, start) does not know its label: the same scene is rendered under each
of the four, and its first frame is the same under all. The object moves at constant speed and stays at the border once
it touches it. Only sums, products, square roots and comparisons of float64 numbers are used, so a video is the same
everywhere, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import Dataset, Sample, Split, Target
from vcfe_datasets.shape_tracker import Track, track

CLASSES = ("up", "down", "left", "right")
DIRECTIONS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])
"""Unit step (x, y) of each class."""
OPPOSITE = (1, 0, 3, 2)
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
SIZES = (7.0, 8.0, 9.0)
"""Half the side of the object's bounding box."""
SPEEDS = (20.0, 26.0, 32.0)
"""Length of the way in one clip, were there no border; over 16 steps 1.25, 1.625 and 2 pixels a frame at 64×64."""
MARGIN = 10.0
"""Free length between the object's start and every border, and so the shortest way any object goes."""
COUNT = 64_000
FPS = 16.0


@dataclass(frozen=True)
class Scene:
    """All of a video but its label. ``x`` and ``y`` are the start of the bounding box's centre, in 1/64 of the side."""

    shape: str
    colour: str
    background: str
    size: float
    speed: float
    x: float
    y: float


def scene(index: int, seed: int = 0) -> Scene:
    """Scene ``index`` of a seed. The draws come from Philox's raw stream, which NumPy guarantees not to change."""
    draws = (np.random.Philox(key=[seed, index]).random_raw(7) >> np.uint64(11)) * 2.0**-53

    def pick(options: Sequence, draw: float):
        return options[int(draw * len(options))]

    size = pick(SIZES, draws[3])
    free = 64 - 2 * (MARGIN + size)
    return Scene(
        shape=pick(SHAPES, draws[0]),
        colour=pick(tuple(COLOURS), draws[1]),
        background=pick(tuple(BACKGROUNDS), draws[2]),
        size=size,
        speed=pick(SPEEDS, draws[4]),
        x=MARGIN + size + free * draws[5],
        y=MARGIN + size + free * draws[6],
    )


def path(scene: Scene, label: int, frames: int) -> np.ndarray:
    """Centres ``[frames, 2]`` as (x, y) in 1/64 of the side: constant speed until the box touches the border."""
    start = np.array([scene.x, scene.y])
    step = DIRECTIONS[label]
    gap = abs((step > 0).any() * 64 - (start * abs(step)).sum()) - scene.size
    way = np.minimum(scene.speed * np.arange(frames) / (frames - 1), gap)
    return start + way[:, None] * step


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Distance to the outline of a shape whose bounding box is ``[-radius, radius]²``, negative inside."""
    if shape == "disc":
        return np.sqrt(x * x + y * y) - radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - radius
    if shape == "diamond":
        return (abs(x) + abs(y) - radius) * np.sqrt(0.5)
    return np.maximum(y - radius, (2 * abs(x) - y - radius) * np.sqrt(0.2))


def render(scene: Scene, centres: np.ndarray, size: int = 64) -> np.ndarray:
    """Draw the scene's object at ``centres [T, 2]`` (1/64 of the side): uint8 ``[T, 3, size, size]``.

    Only a window around each centre is computed; the antialiased edge is one pixel wide.
    """
    centres, radius = centres * (size / 64), scene.size * (size / 64)
    window = 2 * int(np.ceil(radius)) + 3
    corner = np.floor(centres).astype(int) - window // 2
    cells = np.arange(window) + 0.5
    offset = (corner - centres)[:, :, None] + cells
    outline = signed_distance(scene.shape, offset[:, 0, None, :], offset[:, 1, :, None], radius)
    alpha = np.minimum(np.maximum(0.5 - outline, 0), 1)
    back, front = (np.array(c)[:, None, None] for c in (BACKGROUNDS[scene.background], COLOURS[scene.colour]))
    patches = (back + 0.5 + alpha[:, None] * (front - back)).astype(np.uint8)
    video = np.empty((len(centres), 3, size, size), np.uint8)
    video[:] = back.astype(np.uint8)
    low, high = np.maximum(corner, 0), np.minimum(corner + window, size)
    for frame, patch, (x, y), (left, top), (right, bottom) in zip(video, patches, corner, low, high, strict=True):
        frame[:, top:bottom, left:right] = patch[:, top - y : bottom - y, left - x : right - x]
    return video


@validated(frozen=True, config={"extra": "forbid"})
class ShapeMovingParams:
    """``frames`` and ``size`` (pixels) give the form; ``seed`` gives another 64,000 scenes."""

    frames: int = Field(default=17, ge=9)
    size: int = Field(default=64, ge=32)
    seed: int = Field(default=0, ge=0)


class ShapeMoving(Dataset):
    """One object moves up, down, left or right; pure motion, with a tracker as oracle.

    Video k has label ``k % 4`` and belongs to the test split when ``k // 4 % 5 == 4``, so both splits are balanced.
    """

    Params = ShapeMovingParams
    params: ShapeMovingParams
    classes = CLASSES
    target = "m_swin"
    generator = "wan_shape_moving"

    def __init__(self, params: ShapeMovingParams | None = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)

    def size(self, split: Split) -> int:
        return COUNT // 5 if split == "test" else COUNT * 4 // 5

    def number(self, split: Split, index: int) -> int:
        """Which of the 64,000 videos stands at ``index`` of the split."""
        if not 0 <= index < self.size(split):
            raise IndexError(f"{split} has {self.size(split)} videos, no index {index}")
        group, label = divmod(index, 4)
        return 4 * (5 * group + 4 if split == "test" else group // 4 * 5 + group % 4) + label

    def pixels(self, scene: Scene, label: int) -> np.ndarray:
        """The scene under a label, uint8 ``[T, 3, H, W]``."""
        return render(scene, path(scene, label, self.params.frames), self.params.size)

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content = scene(number, self.params.seed)
        label = number % 4
        video = torch.from_numpy(self.pixels(content, label)).float() / 255
        return Sample(f"{number:05d}", video, label, FPS, asdict(content))

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Every second clip runs backwards under the opposite label: where the object is then tells nothing, only
        motion does."""
        sample = self.sample("train", index)
        if rng.random() < 0.5:
            return sample.video.flip(0), OPPOSITE[int(sample.label)]
        return sample.video, int(sample.label)

    @torch.no_grad()
    def controls(self, target: Target, limit: int) -> dict[str, float]:
        """``reversed_opposite``: share of videos that, played backwards, get the opposite direction.

        High only for a target that reads motion; one that reads where the object is would say what it said before.
        """
        hits = 0
        for first in range(0, limit, 32):
            samples = [self.sample("test", index) for index in range(first, min(first + 32, limit))]
            predicted = target(torch.stack([s.video.flip(0) for s in samples])).argmax(1).tolist()
            hits += sum(p == OPPOSITE[int(s.label)] for p, s in zip(predicted, samples, strict=True))
        return {"reversed_opposite": hits / limit}

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_moving.md").read_text()

    def track(self, sample: Sample, video: Tensor) -> Track | None:
        """Path, area and direction of ``sample``'s object in an edit of its video, or None (see ``shape_tracker``)."""
        content = Scene(**sample.attributes)
        return track(
            video.clamp(0, 1).numpy() * 255,
            background=np.array(BACKGROUNDS[content.background], float),
            colour=np.array(COLOURS[content.colour], float),
            slowest=min(SPEEDS),
            fastest=max(SPEEDS),
        )

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        found = self.track(sample, video)
        return None if found is None else found.direction

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        if not isinstance(goal, ClassGoal):
            raise NotImplementedError(f"Shape-Moving renders directions, not {goal}")
        return torch.from_numpy(self.pixels(Scene(**sample.attributes), goal.index)).float() / 255
