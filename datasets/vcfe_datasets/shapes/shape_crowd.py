"""Shape-Crowd: three objects move; the class is the direction of the red one, and the other two are bystanders.

A counterfactual should change the direction of the red object and leave the bystanders alone. In the other shape
datasets, a random sample of the generator that meets the goal is as good a counterfactual as an optimised one. Here it
is not, because it changes the directions of the bystanders too.

One bystander is always blue. In a share ``link`` of the videos its direction is a quarter turn clockwise from the
label, so that a target can learn to rely on the blue object instead of the red one, as in Shape-Shortcut. All lengths
are in units of 1/64 of the frame's side.

A scene is independent of the label and of all directions: its first frame is the same for all 512 triples of
directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import AttributeValue, Sample, Split, Target
from vcfe_datasets.shapes.shape_drawing import BACKGROUNDS, COLOURS, SHAPES, blank, paint
from vcfe_datasets.shapes.shape_separation import follow_each
from vcfe_datasets.shapes.shape_tracker import Followed, measure
from vcfe_datasets.shapes.shape_world import FPS, Draws, ShapeParams, ShapeWorld, reliance
from vcfe_datasets.shapes.straight_tracker import bearing, sector

CLASSES = ("up", "up-right", "right", "down-right", "down", "down-left", "left", "up-left")
"""Directions, clockwise in steps of 45°."""
_HALF = 0.5**0.5
DIRECTIONS = np.array(
    [(0, -1), (_HALF, -_HALF), (1, 0), (_HALF, _HALF), (0, 1), (-_HALF, _HALF), (-1, 0), (-_HALF, -_HALF)]
)
"""Unit step (x, y) of each class; y points down."""
RED, BLUE, THIRD = "red", "blue", "third"
MOVERS = (RED, BLUE, THIRD)
"""The object that the class is about, the bystander that can become a shortcut, and another bystander."""
THIRD_COLOURS = ("green", "yellow", "magenta", "cyan")
SIZES = (4.0, 4.5)
"""Half the side of the bounding box."""
TRAVELS = (8.0, 9.0)
"""Distance covered in one clip."""
CLEARANCE = 1.0
"""Smallest distance between two bounding boxes at any time, for any directions."""
MARGIN = 0.5
"""Smallest distance between a bounding box and the border at any time, for any direction."""
PARTNER = tuple((label + 2) % 8 for label in range(8))
"""Direction of the blue bystander that is linked to each class: a quarter turn clockwise."""
OPPOSITE = tuple((label + 4) % 8 for label in range(8))
INDEPENDENT = 0.125
"""The ``link`` at which the direction of the blue bystander is independent of the class."""
COUNT = 64_000
FOREIGN = 60.0
"""Distance (of 255) from all blends of background and object colour beyond which a pixel is not the object's."""
CANDIDATES = 64
"""Number of triples of starts that are drawn at once."""


@dataclass(frozen=True)
class Mover:
    """One object without its direction; ``x`` and ``y`` are the start of its bounding box's centre."""

    shape: str
    colour: str
    size: float
    travel: float
    x: float
    y: float


@dataclass(frozen=True)
class Scene:
    """Three movers in front of a background: a video without its directions."""

    background: str
    red: Mover
    blue: Mover
    third: Mover

    @property
    def movers(self) -> tuple[Mover, Mover, Mover]:
        return self.red, self.blue, self.third

    @staticmethod
    def of(sample: Sample) -> Scene:
        """The scene that a sample's attributes describe."""
        content = sample.attributes
        return Scene(content["background"], *(Mover(**content[name]) for name in MOVERS))


def scene(index: int, seed: int = 0) -> Scene:
    """Scene ``index`` of a seed."""
    draws = Draws(seed, index)
    background = draws.pick(tuple(BACKGROUNDS))
    colours = ("red", "blue", draws.pick(THIRD_COLOURS))
    looks = [(draws.pick(SHAPES), colour, draws.pick(SIZES), draws.pick(TRAVELS)) for colour in colours]
    starts = _starts(np.array([size for *_, size, _ in looks]), np.array([travel for *_, travel in looks]), draws)
    return Scene(background, *(Mover(*look, *start) for look, start in zip(looks, starts.tolist(), strict=True)))


def _starts(sizes: np.ndarray, travels: np.ndarray, draws: Draws) -> np.ndarray:
    """Starts ``[3, 2]`` from which no mover can touch another or the border, in any direction; by rejection.

    The displacement of one mover relative to another covers at most a disc of the sum of their travels. So they keep
    clear of each other if that disc does not reach the square in which their bounding boxes are closer than
    ``CLEARANCE``.
    """
    margin = (travels + sizes + MARGIN)[:, None]
    while True:
        candidates = margin + (64 - 2 * margin) * draws.uniforms(CANDIDATES * 6).reshape(CANDIDATES, 3, 2)
        clear = np.ones(CANDIDATES, bool)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            gap = np.maximum(abs(candidates[:, i] - candidates[:, j]) - (sizes[i] + sizes[j] + CLEARANCE), 0)
            clear &= (gap * gap).sum(1) >= (travels[i] + travels[j]) ** 2
        if clear.any():
            return candidates[clear.argmax()]


def path(mover: Mover, step: np.ndarray, frames: int) -> np.ndarray:
    """Centres ``[frames, 2]`` as (x, y) of a mover at constant speed along the unit vector ``step``."""
    distance = mover.travel * np.arange(frames) / (frames - 1)
    return np.array([mover.x, mover.y]) + distance[:, None] * step


def render(scene: Scene, steps: np.ndarray, frames: int = 17, size: int = 64) -> np.ndarray:
    """The scene with its movers along the unit vectors ``steps [3, 2]``: uint8 ``[T, 3, size, size]``."""
    video = blank(scene.background, frames, size)
    for mover, step in zip(scene.movers, steps, strict=True):
        paint(video, mover.shape, mover.colour, path(mover, step, frames), mover.size)
    return video


def directions(index: int, label: int, link: float, shown: float, seed: int = 0) -> tuple[int, int, int]:
    """Directions of the three movers of video ``index``.

    Red moves towards ``label`` with probability ``shown``, blue towards its partner with probability ``link``;
    otherwise, each moves in one of the other seven directions, all equally likely. The third is independent.
    """
    draws = Draws(seed, COUNT + index)
    red, blue = (_mostly(direction, share, draws) for direction, share in ((label, shown), (PARTNER[label], link)))
    return red, blue, draws.pick(range(8))


def _mostly(direction: int, share: float, draws: Draws) -> int:
    follows = draws.uniform() < share
    other = draws.pick([other for other in range(8) if other != direction])
    return direction if follows else other


@validated(frozen=True, config={"extra": "forbid"})
class ShapeCrowdParams(ShapeParams):
    """``frames``, ``size`` and ``seed`` as for Shape-Moving.

    ``link`` is the share of videos in which the blue bystander moves a quarter turn clockwise of the label: 1 always,
    0.125 independently, 0 never. ``shown`` is the share in which the red object moves towards the label: below 1, some
    labels are not supported by its motion.
    """

    link: float = Field(default=INDEPENDENT, ge=0, le=1)
    shown: float = Field(default=1.0, ge=0, le=1)


class ShapeCrowd(ShapeWorld):
    """Three objects move; the class is the direction of the red one, and a good edit leaves the other two alone."""

    Params = ShapeCrowdParams
    params: ShapeCrowdParams
    classes = CLASSES
    target = "crowd_swin"
    transfer_targets = ("crowd_swin", "crowd_c3d")
    generator = "wan_shape_crowd"
    goal_groups: ClassVar[Mapping[str, Mapping[int, Sequence[int]]]] = {
        "near": {label: [(label + turn) % 8 for turn in (1, 7)] for label in range(8)},
        "far": {label: [(label + turn) % 8 for turn in range(2, 7)] for label in range(8)},
    }
    count = COUNT
    corruptions = ("fades", "recoloured", "turns_bystander")
    cause = ("red_direction",)
    shortcut = ("blue_direction",)
    bystanders = ("blue_direction", "third_direction")
    identity = tuple(f"{name}_{part}" for name in MOVERS for part in ("shape", "size"))

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content, label = scene(number, self.params.seed), number % 8
        goes = directions(number, label, self.params.link, self.params.shown, self.params.seed)
        known = {f"{name}_direction": direction for name, direction in zip(MOVERS, goes, strict=True)}
        return Sample(f"{number:05d}", self._video(content, *goes), label, FPS, {**asdict(content), **known})

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Angles are uniform inside each mover's sector of 45°, so that a target learns the boundaries of the oracle.

        Half of the clips are reversed and get the opposite label: motion is then informative and position is not. The
        link stays the same, because the partner of the opposite direction is the opposite of the partner.
        """
        sample = self.sample("train", index)
        goes = np.array([sample.attributes[f"{name}_direction"] for name in MOVERS])
        angles = np.pi / 4 * (goes + rng.uniform(-0.5, 0.5, 3))
        steps = np.stack([np.sin(angles), -np.cos(angles)], 1)
        pixels = render(Scene.of(sample), steps, self.params.frames, self.params.size)
        video, label = torch.from_numpy(pixels).float() / 255, int(sample.label)
        return (video.flip(0), OPPOSITE[label]) if rng.random() < 0.5 else (video, label)

    def controls(self, target: Target, limit: int, split: Split = "test") -> dict[str, float]:
        """Which object the target relies on, measured on scenes with mutually independent directions.

        ``accuracy_unlinked`` is the share of videos predicted as the direction of the red object, ``follows_blue`` the
        share predicted as the class whose partner is the direction of the blue one. A target that relies on the red
        object alone has 1 and 0.125, one that relies on the blue one alone 0.125 and 1.
        """
        unlinked = ShapeCrowd(replace(self.params, link=INDEPENDENT, shown=1.0))
        right, followed = reliance(unlinked, target, limit, split, "blue_direction", PARTNER)
        return {"accuracy_unlinked": right, "follows_blue": followed}

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_crowd.md").read_text()

    def bearings(self, sample: Sample, video: Tensor) -> tuple[float | None, float | None, float | None]:
        """Direction of each mover in an edit of ``sample``'s video, in degrees clockwise of up, in [0, 360).

        None for a mover that is lost or does not move as one object would (see ``straight_tracker.bearing``).
        """
        red, blue, third = (_bearing(followed) for _, _, followed in _separated(sample, video))
        return red, blue, third

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        angle = self.bearings(sample, video)[0]
        return None if angle is None else sector(angle, len(CLASSES))

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """For ``red``, ``blue`` and ``third``, each tracked by its colour: ``<name>_direction`` and what
        ``shape_tracker.measure`` returns; all None for a mover that is lost."""
        attributes: dict[str, AttributeValue] = {}
        background = sample.attributes["background"]
        for name, (mover, alone, followed) in zip(MOVERS, _separated(sample, video), strict=True):
            angle = _bearing(followed)
            measured = measure(alone, followed, background, mover.colour, SHAPES) or {}
            attributes[f"{name}_direction"] = None if angle is None else CLASSES[sector(angle, len(CLASSES))]
            attributes |= {f"{name}_{part}": measured.get(part) for part in ("shape", "size", "x", "y")}
        return None if all(value is None for value in attributes.values()) else attributes

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The red object moves towards the goal; the bystanders move as before."""
        _, blue, third = self._goes(sample)
        return self._video(Scene.of(sample), _class(goal), blue, third)

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The blue bystander moves in the direction linked to the goal; the other two move as before."""
        red, _, third = self._goes(sample)
        return self._video(Scene.of(sample), red, PARTNER[_class(goal)], third)

    def corrupted_edit(self, sample: Sample, goal: Goal, corruption: str) -> Tensor:
        """The red object ``fades`` to a fifth of its opacity or is ``recoloured`` halfway; or the edit
        ``turns_bystander``: the third mover reverses its direction."""
        content, (_, blue, third) = Scene.of(sample), self._goes(sample)
        red, frames, size = _class(goal), self.params.frames, self.params.size
        if corruption == "turns_bystander":
            return self._video(content, red, blue, OPPOSITE[third])
        if corruption not in self.corruptions:
            raise ValueError(f"the corruptions are {', '.join(self.corruptions)}, not {corruption}")
        video = blank(content.background, frames, size)
        for mover, direction in ((content.blue, blue), (content.third, third)):
            paint(video, mover.shape, mover.colour, path(mover, DIRECTIONS[direction], frames), mover.size)
        mover, centres = content.red, path(content.red, DIRECTIONS[red], frames)
        opacity = np.linspace(1, 0.2, frames) if corruption == "fades" else np.ones(frames)
        later = max(THIRD_COLOURS, key=lambda name: _apart(name, content.third.colour))
        colours = (mover.colour, later if corruption == "recoloured" else mover.colour)
        for part, colour in zip((slice(frames // 2), slice(frames // 2, frames)), colours, strict=True):
            paint(video[part], mover.shape, colour, centres[part], mover.size, opacity=opacity[part])
        return torch.from_numpy(video).float() / 255

    def _goes(self, sample: Sample) -> tuple[int, int, int]:
        red, blue, third = (sample.attributes[f"{name}_direction"] for name in MOVERS)
        return red, blue, third

    def _video(self, scene: Scene, red: int, blue: int, third: int) -> Tensor:
        pixels = render(scene, DIRECTIONS[[red, blue, third]], self.params.frames, self.params.size)
        return torch.from_numpy(pixels).float() / 255


def _apart(first: str, second: str) -> int:
    """Squared distance of two colours."""
    return sum((a - b) ** 2 for a, b in zip(COLOURS[first], COLOURS[second], strict=True))


def _class(goal: Goal) -> int:
    if not isinstance(goal, ClassGoal):
        raise NotImplementedError(f"Shape-Crowd renders directions, not {goal}")
    return goal.index


def _bearing(followed: Followed) -> float | None:
    return bearing(followed, slowest=min(TRAVELS), fastest=max(TRAVELS))


def _separated(sample: Sample, video: Tensor) -> list[tuple[Mover, np.ndarray, Followed]]:
    """Each mover, tracked in the video ``[T, 3, H, W]`` (0–255) in which the background replaces all pixels that are
    closer to the colour of another mover, or far from all blends of the background and the mover's own colour."""
    content, pixels = Scene.of(sample), video.clamp(0, 1).numpy() * 255
    background = np.array(BACKGROUNDS[content.background], float)
    colours = [np.array(COLOURS[mover.colour], float) for mover in content.movers]
    separated = follow_each(pixels, background, colours, FOREIGN)
    return [(mover, alone, followed) for mover, (alone, followed) in zip(content.movers, separated, strict=True)]
