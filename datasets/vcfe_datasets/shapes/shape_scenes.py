"""Shape-Scenes: two to four objects at once; the class is which two attributes occur together.

A dataset for explanations by attribute and place, such as the tubes of Kanehira et al. (CVPR 2019), with known truth:
the attributes of every video, their boxes in every frame, and the attributes that decide each class. An attribute is
the shape, the colour or the motion of an object. Eight attributes stand in a ring, and each class is a pair of
neighbours (``CLASS_ATTRIBUTES``), so it shares one attribute with each of two other classes. A video holds both
attributes of exactly one pair, on the same object or on two; the rest is drawn at random.

Each object keeps to a quarter of the frame of its own, whatever it does, so objects never meet. Lengths are in
units of 1/64 of the frame's side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import AttributeValue, Sample, Split
from vcfe_datasets.shapes.shape_drawing import AREAS, BACKGROUNDS, COLOURS, SHAPES, blank, paint
from vcfe_datasets.shapes.shape_moving import DIRECTIONS
from vcfe_datasets.shapes.shape_world import FPS, Draws, ShapeParams, ShapeWorld

MOTIONS = ("translating", "turning", "pulsing", "blinking", "standing")
TURNABLE = ("square", "triangle")
"""Shapes that may turn: a disc's turn is invisible, and a turned diamond would be a square."""
ATTRIBUTES = (*SHAPES, *COLOURS, *MOTIONS)
RING = ("red", "translating", "blue", "turning", "disc", "pulsing", "triangle", "blinking")
PAIRS = tuple(zip(RING, (*RING[1:], RING[0]), strict=True))
CLASSES = tuple("+".join(pair) for pair in PAIRS)
CLASS_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    name: frozenset(pair) for name, pair in zip(CLASSES, PAIRS, strict=True)
}
"""The two attributes that make each class."""

OBJECTS = (2, 3, 4)
SIZES = (6.0, 7.0)
"""Half the side of the object's bounding box."""
WAY = 9.0
"""How far a translating object goes in one clip."""
CLEARANCE = 0.5
"""Least distance between an object, however it is turned, and the edges of its quarter."""
SHRINK = 0.4
"""Share of its size that a pulsing object loses, twice in a clip."""
DIM = 0.25
"""Opacity of a blinking object in the second and the last quarter of a clip."""
COUNT = 64_000
V = TypeVar("V")

TOLERANCE = 0.15
"""Greatest squared difference between a frame and what was recognised in it, as a share of what the object makes."""
CONTRAST = 40.0
"""Difference (of 255) from the background above which a pixel belongs to an object."""
FAINT = 0.2
"""Opacity below which a pixel does not count for an object's area and place."""
SMALLEST = 2.0 * min(SIZES) ** 2
"""Area of the smallest object."""
VARIANTS = {"translating": 4, "turning": 2}
"""Number of headings that make a difference."""


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
"""All that an object can be."""


@dataclass(frozen=True)
class Item:
    """One object. ``x`` and ``y`` are the first centre of its bounding box, ``size`` is half the box's side.

    ``heading`` (an index of ``DIRECTIONS``) is where it goes if it translates; if it turns, it does so anticlockwise
    when ``heading`` is odd.
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
    """All of a video."""

    background: str
    items: tuple[Item, ...]

    @staticmethod
    def of(sample: Sample) -> Scene:
        """The scene that a sample's attributes describe."""
        content = sample.attributes["scene"]
        return Scene(content["background"], tuple(Item(**item) for item in content["items"]))


def label(attributes: Iterable[Iterable[str]]) -> int | None:
    """The class of objects with these attributes each, or None where they fulfil no pair or several."""
    present = set(itertools.chain.from_iterable(attributes))
    fulfilled = [index for index, pair in enumerate(PAIRS) if present.issuperset(pair)]
    return fulfilled[0] if len(fulfilled) == 1 else None


def scene(index: int, seed: int = 0) -> Scene:
    """Scene ``index`` of a seed, of class ``index % 8``: objects are drawn until they make that class alone."""
    draws = Draws(seed, index)
    background, count = draws.pick(tuple(BACKGROUNDS)), draws.pick(OBJECTS)
    quarters = draws.pick(tuple(itertools.combinations(range(4), count)))
    while label(looks := [draws.pick(LOOKS) for _ in quarters]) != index % len(CLASSES):
        pass
    return Scene(background, tuple(_place(look, quarter, draws) for look, quarter in zip(looks, quarters, strict=True)))


def _place(look: Look, quarter: int, draws: Draws) -> Item:
    """An object with a start from which it could translate, whether it does or not."""
    size, heading = draws.pick(SIZES), draws.pick(range(4))
    margin = size * np.sqrt(2) + CLEARANCE
    way = WAY * DIRECTIONS[heading]
    low, high = margin - np.minimum(way, 0), 32 - margin - np.maximum(way, 0)
    start = low + (high - low) * np.array([draws.uniform(), draws.uniform()])
    x, y = start + 32 * np.array([quarter % 2, quarter // 2])
    return Item(*look, size, float(x), float(y), heading)


@dataclass(frozen=True)
class Motion:
    """What an object does in a clip: centres ``[T, 2]``, half the side of its unturned box ``[T]``, turn ``[T, 2]``
    (cosine and sine, or None) and opacity ``[T]``."""

    centres: np.ndarray
    radius: np.ndarray
    turn: np.ndarray | None
    opacity: np.ndarray


def motion(item: Item, frames: int) -> Motion:
    """The motion of an object in a clip of ``frames`` frames; the first frame is the same for all five motions."""
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
    """Cosine and sine ``[T, 2]`` of a turn by 180° while ``time`` goes from 0 to 1, by the square root alone: straight
    lines between five points of the half circle, drawn out to the circle."""
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

    Of several, one with the fewest changed shapes, and of these the fewest changed colours, so that the first frame
    stays where it can.
    """
    best: dict[frozenset[str], tuple[int, tuple[Look, ...]]] = {frozenset(): (0, ())}
    for item in scene.items:
        options = _cheapest((_cost(item.look, look), look, frozenset(look).intersection(RING)) for look in LOOKS)
        best = _cheapest(
            (spent + cost, (*looks, look), present | added)
            for present, (spent, looks) in best.items()
            for added, (cost, look) in options.items()
        )
    _, looks = min(found for present, found in best.items() if label([present]) == goal)
    items = (replace(item, **look._asdict()) for item, look in zip(scene.items, looks, strict=True))
    return replace(scene, items=tuple(items))


def _cost(old: Look, new: Look) -> int:
    """Number of changes times a hundred, plus what breaks ties."""
    shape, colour, motion = (a != b for a, b in zip(old, new, strict=True))
    return 110 * shape + 101 * colour + 100 * motion


def _cheapest(found: Iterable[tuple[int, V, frozenset[str]]]) -> dict[frozenset[str], tuple[int, V]]:
    """What costs least for each set of attributes, the first of several."""
    best: dict[frozenset[str], tuple[int, V]] = {}
    for cost, value, present in found:
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


def recognise(video: np.ndarray, background: str) -> tuple[Item, ...] | None:
    """The objects in ``video [T, 3, H, W]`` (0–255), quarter by quarter, or None where a quarter shows anything else.

    Colour, shape, size and place are read off the first frame; the motion is the one whose rendering comes nearest to
    the video. The squared difference that remains in a quarter of any frame may be ``TOLERANCE`` of what the object
    itself makes in the first frame.
    """
    frames, _, _, side = video.shape
    back = np.array(BACKGROUNDS[background], float)[:, None, None]
    faintest = min(((np.array(colour)[:, None, None] - back) ** 2).sum() for colour in COLOURS.values())
    found = []
    for quarter in range(4):
        part = _cut(video, quarter)
        rest, own = ((part - back) ** 2).sum((1, 2, 3)), faintest * SMALLEST * (side / 64) ** 2
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
            rests = [((part - rendering) ** 2).sum((1, 2, 3)) for rendering in renderings]
            best = int(np.argmin([rest.sum() for rest in rests]))
            rest, own = rests[best], ((renderings[best][0] - back) ** 2).sum()
            found.append(guesses[best])
        if (rest > TOLERANCE * own).any():
            return None
    return tuple(found)


def _start(frame: np.ndarray, quarter: int, background: str) -> Item | None:
    """The object in a quarter of the first frame ``[3, H, W]``, as if it stood still."""
    side = frame.shape[-1]
    back = np.array(BACKGROUNDS[background], float)[:, None, None]
    offset = _cut(frame, quarter) - back

    def cover(colour: str) -> np.ndarray:
        contrast = np.array(COLOURS[colour])[:, None, None] - back
        return ((offset * contrast).sum(0) / (contrast**2).sum()).clip(0, 1)

    def rest(colour: str) -> float:
        return ((offset - cover(colour) * (np.array(COLOURS[colour])[:, None, None] - back)) ** 2).sum()

    colour = min(COLOURS, key=rest)
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


@validated(frozen=True, config={"extra": "forbid"})
class ShapeScenesParams(ShapeParams):
    """``frames`` and ``size`` (pixels) give the form; ``seed`` gives another 64,000 scenes."""


class ShapeScenes(ShapeWorld):
    """Several objects, each with its own motion; the class is which two attributes occur, and where is known.

    ``Sample.attributes`` holds ``attributes``, the names of those present; ``objects``, the attributes of each object
    and its boxes ``[T, 4]`` (left, top, right, bottom) in pixels; and ``scene``, from which it was rendered.
    """

    Params = ShapeScenesParams
    classes = CLASSES
    count = COUNT
    target = "scenes_c3d"
    attributes: tuple[str, ...] = ATTRIBUTES
    """Names of all attributes."""
    class_attributes = CLASS_ATTRIBUTES
    cause = RING

    def pixels(self, scene: Scene) -> np.ndarray:
        """The scene's video, uint8 ``[T, 3, H, W]``."""
        return render(scene, self.params.frames, self.params.size)

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content = scene(number, self.params.seed)
        present = set(itertools.chain.from_iterable(item.look for item in content.items))
        attributes: dict[str, Any] = {
            "attributes": [name for name in ATTRIBUTES if name in present],
            "objects": [
                {
                    "attributes": list(item.look),
                    "boxes": boxes(item, self.params.frames, self.params.size).tolist(),
                }
                for item in content.items
            ],
            "scene": {"background": content.background, "items": [asdict(item) for item in content.items]},
        }
        return Sample(f"{number:05d}", self._video(content), number % len(CLASSES), FPS, attributes)

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_scenes.md").read_text()

    def recognise(self, sample: Sample, video: Tensor) -> tuple[Item, ...] | None:
        """The objects that an edit of ``sample``'s video shows, or None where it shows anything else."""
        return recognise(video.clamp(0, 1).numpy() * 255.0, Scene.of(sample).background)

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        found = self.recognise(sample, video)
        return None if found is None else label(item.look for item in found)

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """Which attributes the objects have, and the number of ``objects``."""
        found = self.recognise(sample, video)
        if found is None:
            return None
        present = set(itertools.chain.from_iterable(item.look for item in found))
        return {**{name: name in present for name in ATTRIBUTES}, "objects": float(len(found))}

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The nearest scene of the goal's class (see ``nearest``)."""
        if not isinstance(goal, ClassGoal):
            raise NotImplementedError(f"Shape-Scenes renders classes, not {goal}")
        return self._video(nearest(Scene.of(sample), goal.index))

    def _video(self, scene: Scene) -> Tensor:
        return torch.from_numpy(self.pixels(scene)).float() / 255
