"""Shape-Shortcut: Shape-Moving with a second object whose motion is correlated with the class in training.

A procedural version, with known ground truth, of the application in the BTTF paper (arXiv 2511.20295, section 4.5),
where a classifier labels a person stepping back as "kicking" because in training one person steps back while another
kicks. Here the class is the direction of the *object*, which is small, slow, and red, green or blue. A *distractor*,
which is large, fast, and yellow, magenta or cyan, moves in the direction a quarter turn clockwise from the class in a
share ``link`` of the videos. If the object moves in the direction of the class in a share ``shown`` of the videos only,
the distractor predicts the label better, and a target learns to rely on it. All lengths are in units of 1/64 of the
frame's side.

A scene is independent of the label and of the distractor's direction: its first frame is the same for all sixteen
pairs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import AttributeValue, Sample, Split, Target
from vcfe_datasets.shapes import shape_moving
from vcfe_datasets.shapes.shape_drawing import BACKGROUNDS, COLOURS, SHAPES, blank, paint
from vcfe_datasets.shapes.shape_moving import CLASSES, MARGIN, OPPOSITE, path
from vcfe_datasets.shapes.shape_separation import follow_each
from vcfe_datasets.shapes.shape_tracker import LEAST, Followed, measure, track
from vcfe_datasets.shapes.shape_world import FPS, Draws, ShapeParams, ShapeWorld, reliance

OBJECT_COLOURS = ("red", "green", "blue")
OBJECT_SIZES = (4.5, 5.0)
OBJECT_SPEEDS = (10.0, 11.0, 12.0)
DISTRACTOR_COLOURS = ("yellow", "magenta", "cyan")
DISTRACTOR_SIZES = (7.5, 8.0)
"""Half the side of the bounding box. For any two shapes, the area of the distractor is larger too."""
DISTRACTOR_SPEEDS = (20.0, 26.0, 32.0)
PARTNER = (3, 2, 0, 1)
"""Direction of the distractor that is linked to each class: a quarter turn clockwise."""
INDEPENDENT = 0.25
"""The ``link`` at which the distractor's direction is independent of the class."""
CLEARANCE = 2.0
"""Smallest distance between the bounding boxes of object and distractor, for any pair of directions."""
COUNT = 64_000
"""Number of training and validation videos together."""


@dataclass(frozen=True)
class Scene:
    """Object and distractor, each with background, start and speed: everything in a video except the directions."""

    object: shape_moving.Scene
    distractor: shape_moving.Scene

    @staticmethod
    def of(sample: Sample) -> Scene:
        """The scene that a sample's attributes describe."""
        return Scene(*(shape_moving.Scene(**sample.attributes[name]) for name in ("object", "distractor")))


def scene(index: int, seed: int = 0) -> Scene:
    """Scene ``index`` of a seed."""
    draws = Draws(seed, index)
    background = draws.pick(tuple(BACKGROUNDS))
    looks = [
        (draws.pick(SHAPES), draws.pick(colours), background, draws.pick(sizes), draws.pick(speeds))
        for colours, sizes, speeds in (
            (OBJECT_COLOURS, OBJECT_SIZES, OBJECT_SPEEDS),
            (DISTRACTOR_COLOURS, DISTRACTOR_SIZES, DISTRACTOR_SPEEDS),
        )
    ]
    (*_, size, speed), (*_, large, _) = looks
    across, down = (_starts(size, large, speed, draws) for _ in range(2))
    return Scene(*(shape_moving.Scene(*look, x, y) for look, x, y in zip(looks, across, down, strict=True)))


def distractor_direction(index: int, label: int, link: float, seed: int = 0) -> int:
    """Direction of the distractor of video ``index``: with probability ``link`` the partner of ``label``, else one of
    the other three, with equal probability."""
    return _mostly(PARTNER[label], link, Draws(seed, COUNT + index))


def object_direction(index: int, label: int, shown: float, seed: int = 0) -> int:
    """Direction of the object of video ``index``: ``label`` with probability ``shown``, else one of the other three."""
    return _mostly(label, shown, Draws(seed, 2 * COUNT + index))


def _mostly(direction: int, share: float, draws: Draws) -> int:
    """``direction`` with probability ``share``, else one of the other three, with equal probability."""
    follows = draws.uniform() < share
    other = draws.pick([other for other in range(4) if other != direction])
    return direction if follows else other


def _starts(size: float, large: float, speed: float, draws: Draws) -> tuple[float, float]:
    """Starts of object and distractor along one axis, at least ``size + large + CLEARANCE + speed`` apart.

    If this holds for both axes, they cannot meet: the object approaches along one axis by at most ``speed``, and if the
    distractor approaches along one axis, the distance along the other axis is sufficient.
    """
    low, high = MARGIN + size, 64 - MARGIN - large
    slack = high - low - (size + large + CLEARANCE + speed)
    first, second = sorted((draws.uniform(), draws.uniform()))
    starts = low + slack * first, high - slack * (1 - second)
    return starts if draws.uniform() < 0.5 else (64 - starts[0], 64 - starts[1])


@validated(frozen=True, config={"extra": "forbid"})
class ShapeShortcutParams(ShapeParams):
    """``frames``, ``size`` and ``seed`` as for Shape-Moving.

    ``link`` is the share of videos in which the distractor moves in the direction linked to the class: 1 for always,
    0.25 for independence, 0 for never. ``shown`` is the share of videos in which the object moves in the direction of
    the label; below 1, some labels contradict the object's motion.
    """

    link: float = Field(default=1.0, ge=0, le=1)
    shown: float = Field(default=1.0, ge=0, le=1)


class ShapeShortcut(ShapeWorld):
    """The class is the direction of an object; the motion of a larger distractor is a shortcut. Both are tracked."""

    Params = ShapeShortcutParams
    params: ShapeShortcutParams
    classes = CLASSES
    count = COUNT
    target = "shortcut_swin"
    transfer_targets = ("clean_swin", "clean_c3d")
    generator = "wan_shape_shortcut"
    cause = ("object_direction",)
    shortcut = ("distractor_direction",)
    identity = ("object_shape", "object_size", "distractor_shape", "distractor_size")

    def pixels(self, scene: Scene, label: int, distractor: int) -> np.ndarray:
        """The scene with the object moving in direction ``label`` and the distractor in direction ``distractor``, uint8
        ``[T, 3, H, W]``."""
        video = blank(scene.object.background, self.params.frames, self.params.size)
        for thing, direction in ((scene.object, label), (scene.distractor, distractor)):
            paint(video, thing.shape, thing.colour, path(thing, direction, self.params.frames), thing.size)
        return video

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content, label = scene(number, self.params.seed), number % 4
        direction = object_direction(number, label, self.params.shown, self.params.seed)
        distractor = distractor_direction(number, label, self.params.link, self.params.seed)
        attributes = {**asdict(content), "object_direction": direction, "distractor_direction": distractor}
        return Sample(f"{number:05d}", self._video(content, direction, distractor), label, FPS, attributes)

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Half of the clips are reversed and get the opposite label, so that motion is informative and position is not.

        The link stays the same, because the partner of the opposite direction is the opposite of the partner.
        """
        sample = self.sample("train", index)
        if rng.random() < 0.5:
            return sample.video.flip(0), OPPOSITE[int(sample.label)]
        return sample.video, int(sample.label)

    def controls(self, target: Target, limit: int, split: Split = "test") -> dict[str, float]:
        """Which of the two objects the target relies on, for scenes whose distractor is independent of the class.

        ``accuracy_unlinked`` is the share of videos for which the target predicts the object's direction,
        ``follows_distractor`` the share for which it predicts the class whose partner is the distractor's direction.
        A target that relies on the object alone has 1 and 0.25, one that relies on the distractor alone 0.25 and 1.
        """
        unlinked = ShapeShortcut(replace(self.params, link=INDEPENDENT, shown=1.0))
        right, followed = reliance(unlinked, target, limit, split, "distractor_direction", PARTNER)
        return {"accuracy_unlinked": right, "follows_distractor": followed}

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_shortcut.md").read_text()

    def directions(self, sample: Sample, video: Tensor) -> tuple[int | None, int | None]:
        """Directions of object and distractor in ``video``, an edit of ``sample``; each is tracked separately.

        None if the object has disappeared or does not move steadily in one direction (see ``shape_tracker``).
        """
        first, second = (followed for _, _, followed in _follow_both(sample, video))
        return _direction(first, OBJECT_SPEEDS), _direction(second, DISTRACTOR_SPEEDS)

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """``<name>_direction`` and the attributes that ``shape_tracker.measure`` returns, for ``object`` and
        ``distractor``, each followed by its own colour. All attributes of one that has disappeared are None."""
        attributes: dict[str, AttributeValue] = {}
        kinds = (("object", OBJECT_SPEEDS), ("distractor", DISTRACTOR_SPEEDS))
        for (name, speeds), (thing, alone, followed) in zip(kinds, _follow_both(sample, video), strict=True):
            direction = _direction(followed, speeds)
            measured = measure(alone, followed, thing.background, thing.colour, SHAPES)
            measured = measured or dict.fromkeys(("shape", *LEAST))
            attributes[f"{name}_direction"] = None if direction is None else CLASSES[direction]
            attributes.update({f"{name}_{part}": value for part, value in measured.items()})
        return None if all(value is None for value in attributes.values()) else attributes

    def moved(self, sample: Sample, video: Tensor) -> Literal["object", "distractor", "both", "neither"]:
        """Which of the two changes its direction in ``video``, an edit of ``sample``; if lost, it does not count."""
        before = (sample.attributes["object_direction"], sample.attributes["distractor_direction"])
        after = self.directions(sample, video)
        first, second = (new not in (None, old) for old, new in zip(before, after, strict=True))
        if first and second:
            return "both"
        return "object" if first else "distractor" if second else "neither"

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        return self.directions(sample, video)[0]

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The object moves in the direction of the goal, the distractor as before."""
        return self._video(Scene.of(sample), _class(goal), sample.attributes["distractor_direction"])

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The distractor moves in the direction that predicts the goal in training, the object as before.

        This is the edit that a method should find for a target that relies on the distractor.

        Raises:
            NotImplementedError: the goal is not a class.
        """
        return self._video(Scene.of(sample), sample.attributes["object_direction"], PARTNER[_class(goal)])

    def _video(self, scene: Scene, label: int, distractor: int) -> Tensor:
        return torch.from_numpy(self.pixels(scene, label, distractor)).float() / 255


def _class(goal: Goal) -> int:
    """Class index of a goal.

    Raises:
        NotImplementedError: the goal is not a class.
    """
    if not isinstance(goal, ClassGoal):
        raise NotImplementedError(f"Shape-Shortcut renders directions, not {goal}")
    return goal.index


def _follow_both(sample: Sample, video: Tensor) -> list[tuple[shape_moving.Scene, np.ndarray, Followed]]:
    """Object and distractor; each with the video ``[T, 3, H, W]`` (0–255) in which pixels that resemble the other one
    more are replaced by background, and its location in that video."""
    content, pixels = Scene.of(sample), video.clamp(0, 1).numpy() * 255
    background = np.array(BACKGROUNDS[content.object.background], float)
    things = (content.object, content.distractor)
    colours = [np.array(COLOURS[thing.colour], float) for thing in things]
    separated = follow_each(pixels, background, colours)
    return [(thing, alone, followed) for thing, (alone, followed) in zip(things, separated, strict=True)]


def _direction(followed: Followed, speeds: tuple[float, ...]) -> int | None:
    """Direction of an object that moves at one of ``speeds``, or None."""
    motion = track(followed, slowest=min(speeds), fastest=max(speeds))
    return None if motion is None else motion.direction
