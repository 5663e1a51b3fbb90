"""Scenes of Shape-Scenes: their objects, the classes they make, and how they are rendered.

Lengths are in units of 1/64 of the frame's side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from vcfe_bench.interfaces import Sample
from vcfe_datasets.shapes.shape_drawing import BACKGROUNDS, COLOURS, SHAPES, blank, paint
from vcfe_datasets.shapes.shape_moving import DIRECTIONS
from vcfe_datasets.shapes.shape_world import Draws

MOTIONS = ("translating", "turning", "pulsing", "blinking", "standing")
TURNABLE = ("square", "triangle")
"""Shapes that may rotate: a rotating disc looks the same, and a rotated diamond is a square."""
ATTRIBUTES = (*SHAPES, *COLOURS, *MOTIONS)
RING = ("red", "translating", "blue", "turning", "disc", "pulsing", "triangle", "blinking")
"""The attributes that determine the classes; each class is a pair of neighbours."""
PAIRS = tuple(zip(RING, (*RING[1:], RING[0]), strict=True))
CLASSES = tuple("+".join(pair) for pair in PAIRS)
CLASS_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    name: frozenset(pair) for name, pair in zip(CLASSES, PAIRS, strict=True)
}
"""The two attributes that determine each class."""
OBJECTS = (2, 3, 4)
"""Possible numbers of objects."""
SIZES = (6.0, 7.0)
"""Half the side of the object's bounding box."""
WAY = 9.0
"""Distance that a translating object travels in one clip."""
CLEARANCE = 0.5
"""Smallest distance between an object, at any rotation, and the edges of its quarter of the frame."""
SHRINK = 0.4
"""Fraction of its size by which a pulsing object shrinks, twice in a clip."""
DIM = 0.25
"""Opacity of a blinking object in the second and the last quarter of a clip."""
V = TypeVar("V")


class Look(NamedTuple):
    """The three attributes of an object."""

    shape: str
    colour: str
    motion: str


LOOKS = tuple(
    Look(shape, colour, motion)
    for shape, colour, motion in itertools.product(SHAPES, COLOURS, MOTIONS)
    if motion != "turning" or shape in TURNABLE
)
"""All combinations of attributes that an object can have."""


@dataclass(frozen=True)
class Item:
    """One object.

    Attributes:
        shape: name of the shape.
        colour: name of the colour.
        motion: name of the motion.
        size: half the side of the bounding box.
        x: initial centre of the bounding box.
        y: initial centre of the bounding box, downwards.
        heading: index into ``DIRECTIONS`` of the direction in which the object moves if it translates; an object that
            rotates does so anticlockwise if ``heading`` is odd.
    """

    shape: str
    colour: str
    motion: str
    size: float
    x: float
    y: float
    heading: int

    @property
    def look(self) -> Look:
        return Look(self.shape, self.colour, self.motion)


@dataclass(frozen=True)
class Scene:
    """Everything that determines a video."""

    background: str
    items: tuple[Item, ...]

    @staticmethod
    def of(sample: Sample) -> Scene:
        """The scene that a sample's attributes describe."""
        content = sample.attributes["scene"]
        return Scene(content["background"], tuple(Item(**item) for item in content["items"]))


def label(attributes: Iterable[Iterable[str]]) -> int | None:
    """The class of a scene with objects of these attributes; None if they complete no pair or several."""
    present = set(itertools.chain.from_iterable(attributes))
    complete = [index for index, pair in enumerate(PAIRS) if present.issuperset(pair)]
    return complete[0] if len(complete) == 1 else None


def scene(index: int, seed: int = 0) -> Scene:
    """Scene ``index`` of a seed, of class ``index % 8``: objects are drawn until they make up exactly that class."""
    draws = Draws(seed, index)
    background, count = draws.pick(tuple(BACKGROUNDS)), draws.pick(OBJECTS)
    quarters = draws.pick(tuple(itertools.combinations(range(4), count)))
    while label(looks := [draws.pick(LOOKS) for _ in quarters]) != index % len(CLASSES):
        pass
    return Scene(background, tuple(_place(look, quarter, draws) for look, quarter in zip(looks, quarters, strict=True)))


def _place(look: Look, quarter: int, draws: Draws) -> Item:
    """An object at a random position from which it could translate, whatever its motion is."""
    size, heading = draws.pick(SIZES), draws.pick(range(4))
    margin = size * np.sqrt(2) + CLEARANCE
    way = WAY * DIRECTIONS[heading]
    low, high = margin - np.minimum(way, 0), 32 - margin - np.maximum(way, 0)
    start = low + (high - low) * np.array([draws.uniform(), draws.uniform()])
    x, y = start + 32 * np.array([quarter % 2, quarter // 2])
    return Item(*look, size, float(x), float(y), heading)


@dataclass(frozen=True)
class Motion:
    """The course of an object in a clip.

    Attributes:
        centres: centre (x, y) of the bounding box, ``[T, 2]``.
        radius: half the side of the bounding box of the unrotated object, ``[T]``.
        turn: cosine and sine of the clockwise rotation, ``[T, 2]``; None for no rotation.
        opacity: from 0 to 1, ``[T]``.
    """

    centres: np.ndarray
    radius: np.ndarray
    turn: np.ndarray | None
    opacity: np.ndarray


def motion(item: Item, frames: int) -> Motion:
    """The course of an object in a clip of ``frames`` frames; its first frame is the same for all five motions."""
    time = np.arange(frames) / (frames - 1)
    centres = np.repeat([[item.x, item.y]], frames, 0)
    radius, opacity, turn = np.full(frames, item.size), np.ones(frames), None
    if item.motion == "translating":
        centres = centres + WAY * time[:, None] * DIRECTIONS[item.heading]
    elif item.motion == "turning":
        turn = _half_turn(time) * (1, -1 if item.heading % 2 else 1)
    elif item.motion == "pulsing":
        radius = item.size * (1 - SHRINK * (1 - abs(4 * time % 2 - 1)))
    elif item.motion == "blinking":
        opacity = np.where(4 * np.arange(frames) // (frames - 1) % 2 == 1, DIM, 1.0)
    return Motion(centres, radius, turn, opacity)


def _half_turn(time: np.ndarray) -> np.ndarray:
    """Cosine and sine ``[T, 2]`` of a rotation by 180° while ``time`` runs from 0 to 1.

    No trigonometric functions are used, because their results differ between machines: points on the chords between
    five points of the half circle are normalised to unit length.
    """
    corner = np.sqrt(0.5)
    points = np.array([(1, 0), (corner, corner), (0, 1), (-corner, corner), (-1, 0)])
    first = np.minimum(np.floor(4 * time).astype(int), 3)
    share = (4 * time - first)[:, None]
    chord = points[first] * (1 - share) + points[first + 1] * share
    return chord / np.sqrt((chord**2).sum(1, keepdims=True))


def boxes(item: Item, frames: int, size: int) -> np.ndarray:
    """Bounding boxes (left, top, right, bottom) of an object in pixels, ``[frames, 4]``."""
    move = motion(item, frames)
    corners = np.array({"triangle": [(0, -1), (1, 1), (-1, 1)]}.get(item.shape, [(-1, -1), (1, -1), (1, 1), (-1, 1)]))
    x, y = np.broadcast_to(corners.T[:, None], (2, frames, len(corners)))
    if move.turn is not None:
        cosine, sine = move.turn.T[:, :, None]
        x, y = cosine * x - sine * y, sine * x + cosine * y
    reach = move.radius[:, None] * np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1)
    return (np.tile(move.centres, 2) + reach) * (size / 64)


def nearest(scene: Scene, goal: int) -> Scene:
    """The scene of class ``goal`` with the fewest changed shapes, colours and motions.

    Ties are broken by the fewest changed shapes, then by the fewest changed colours, so that the first frame is kept if
    possible.
    """
    best: dict[frozenset[str], tuple[int, tuple[Look, ...]]] = {frozenset(): (0, ())}
    for item in scene.items:
        options = _cheapest((_cost(item.look, look), look, frozenset(look).intersection(RING)) for look in LOOKS)
        best = _cheapest(
            (spent + cost, (*looks, look), present | added)
            for present, (spent, looks) in best.items()
            for added, (cost, look) in options.items()
        )
    _, looks = min(option for present, option in best.items() if label([present]) == goal)
    items = (replace(item, **look._asdict()) for item, look in zip(scene.items, looks, strict=True))
    return replace(scene, items=tuple(items))


def _cost(old: Look, new: Look) -> int:
    """A hundred for each change, plus an amount that breaks ties."""
    shape, colour, motion = (a != b for a, b in zip(old, new, strict=True))
    return 110 * shape + 101 * colour + 100 * motion


def _cheapest(options: Iterable[tuple[int, V, frozenset[str]]]) -> dict[frozenset[str], tuple[int, V]]:
    """The first option of lowest cost for each set of attributes, from options of (cost, value, attributes)."""
    best: dict[frozenset[str], tuple[int, V]] = {}
    for cost, value, present in options:
        if present not in best or cost < best[present][0]:
            best[present] = cost, value
    return best


def render(scene: Scene, frames: int, size: int) -> np.ndarray:
    """The scene's video, uint8 ``[frames, 3, size, size]``."""
    video = blank(scene.background, frames, size)
    for item in scene.items:
        move = motion(item, frames)
        paint(video, item.shape, item.colour, move.centres, move.radius, move.turn, move.opacity)
    return video
