"""Shape-Shortcut: Shape-Moving with a second object whose motion gives the class away in training.

The application of the BTTF paper (arXiv 2511.20295, section 4.5) as a procedure with known truth. There a classifier
calls a person who steps back "kicking", because in training one person steps back while another kicks. Here the
class is the direction of the *object*: small, slow, and red, green or blue. A *distractor*, large, fast, and yellow,
magenta or cyan, moves a quarter turn clockwise of it in a share ``link`` of the videos. Where the object itself bears
the class out in a share ``shown`` of the videos only, the distractor is the better guide, and a target learns to go by
it. All lengths are in units of 1/64 of the frame's side.

A scene knows neither its label nor the distractor's direction: its first frame is the same under all sixteen pairs.
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
from vcfe_datasets.shapes.shape_tracker import LEAST, Followed, follow, measure, track
from vcfe_datasets.shapes.shape_world import FPS, Draws, ShapeParams, ShapeWorld

OBJECT_COLOURS = ("red", "green", "blue")
OBJECT_SIZES = (4.5, 5.0)
OBJECT_SPEEDS = (10.0, 11.0, 12.0)
DISTRACTOR_COLOURS = ("yellow", "magenta", "cyan")
DISTRACTOR_SIZES = (7.5, 8.0)
"""Half the side of the bounding box; of any two shapes, the distractor's has the larger area too."""
DISTRACTOR_SPEEDS = (20.0, 26.0, 32.0)
PARTNER = (3, 2, 0, 1)
"""Direction of the distractor that goes with each class: a quarter turn clockwise."""
INDEPENDENT = 0.25
"""The ``link`` at which the distractor's direction tells nothing of the class."""
CLEARANCE = 2.0
"""Least distance between the bounding boxes of object and distractor, whatever their directions."""
COUNT = 64_000


@dataclass(frozen=True)
class Scene:
    """Object and distractor before the same background, each with its start and speed: a video but for the motion."""

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
    """Where the distractor of video ``index`` goes: to the partner of ``label`` with probability ``link``, else to one
    of the other three sides, all equally likely."""
    return _mostly(PARTNER[label], link, Draws(seed, COUNT + index))


def object_direction(index: int, label: int, shown: float, seed: int = 0) -> int:
    """Where the object of video ``index`` goes: ``label`` with probability ``shown``, else one of the other three."""
    return _mostly(label, shown, Draws(seed, 2 * COUNT + index))


def _mostly(direction: int, share: float, draws: Draws) -> int:
    follows = draws.uniform() < share
    other = draws.pick([other for other in range(4) if other != direction])
    return direction if follows else other


def _starts(size: float, large: float, speed: float, draws: Draws) -> tuple[float, float]:
    """Starts of object and distractor along one axis, at least ``size + large + CLEARANCE + speed`` apart.

    With that on both axes they cannot meet: where the object comes nearer on one axis, it does so by ``speed`` at
    most; where the distractor does, the other axis still keeps them apart.
    """
    low, high = MARGIN + size, 64 - MARGIN - large
    slack = high - low - (size + large + CLEARANCE + speed)
    first, second = sorted((draws.uniform(), draws.uniform()))
    starts = low + slack * first, high - slack * (1 - second)
    return starts if draws.uniform() < 0.5 else (64 - starts[0], 64 - starts[1])


@validated(frozen=True, config={"extra": "forbid"})
class ShapeShortcutParams(ShapeParams):
    """``frames``, ``size`` and ``seed`` as for Shape-Moving.

    ``link`` is the share of videos whose distractor goes with the class: 1 always, 0.25 independent, 0 never. ``shown``
    is the share whose object does: 1 always, else labels that its motion does not bear out.
    """

    link: float = Field(default=1.0, ge=0, le=1)
    shown: float = Field(default=1.0, ge=0, le=1)


class ShapeShortcut(ShapeWorld):
    """One object moves, and a larger one gives its direction away: a shortcut, with trackers that tell who moved."""

    Params = ShapeShortcutParams
    params: ShapeShortcutParams
    classes = CLASSES
    count = COUNT
    target = "shortcut_swin"
    generator = "wan_shape_shortcut"
    cause = ("object_direction",)
    shortcut = ("distractor_direction",)
    identity = ("object_shape", "object_size", "distractor_shape", "distractor_size")

    def pixels(self, scene: Scene, label: int, distractor: int) -> np.ndarray:
        """The scene with the object moving towards ``label`` and the distractor towards ``distractor``, uint8
        ``[T, 3, H, W]``."""
        video = blank(scene.object.background, self.params.frames, self.params.size)
        for thing, direction in ((scene.object, label), (scene.distractor, distractor)):
            paint(video, thing.shape, thing.colour, path(thing, direction, self.params.frames), thing.size)
        return video

    def sample(self, split: Split, index: int) -> Sample:
        number = self.number(split, index)
        content, label = scene(number, self.params.seed), number % 4
        goes = object_direction(number, label, self.params.shown, self.params.seed)
        distractor = distractor_direction(number, label, self.params.link, self.params.seed)
        attributes = {**asdict(content), "object_direction": goes, "distractor_direction": distractor}
        return Sample(f"{number:05d}", self._video(content, goes, distractor), label, FPS, attributes)

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Every second clip runs backwards under the opposite label: where things are then tells nothing, only motion
        does. The partner of the opposite is the opposite of the partner, so the link stays as it is."""
        sample = self.sample("train", index)
        if rng.random() < 0.5:
            return sample.video.flip(0), OPPOSITE[int(sample.label)]
        return sample.video, int(sample.label)

    @torch.no_grad()
    def controls(self, target: Target, limit: int) -> dict[str, float]:
        """What the target goes by, on the same scenes with a distractor that tells nothing of the class.

        ``accuracy_unlinked`` is the share of videos that get the object's direction, ``follows_distractor`` the share
        that get the class whose partner is the distractor's direction. One that reads the object alone has 1 and 0.25,
        one that reads the distractor alone 0.25 and 1.
        """
        unlinked = ShapeShortcut(replace(self.params, link=INDEPENDENT, shown=1.0))
        right = followed = 0
        for first in range(0, limit, 32):
            samples = [unlinked.sample("test", index) for index in range(first, min(first + 32, limit))]
            predicted = target(torch.stack([s.video for s in samples])).argmax(1).tolist()
            right += sum(p == s.label for p, s in zip(predicted, samples, strict=True))
            followed += sum(
                PARTNER[p] == s.attributes["distractor_direction"] for p, s in zip(predicted, samples, strict=True)
            )
        return {"accuracy_unlinked": right / limit, "follows_distractor": followed / limit}

    def card(self) -> str:
        return files("vcfe_datasets").joinpath("shape_shortcut.md").read_text()

    def directions(self, sample: Sample, video: Tensor) -> tuple[int | None, int | None]:
        """Directions of object and distractor in an edit of ``sample``'s video, each tracked by itself.

        None where a thing is gone or does not move as one object would (see ``shape_tracker``).
        """
        first, second = (followed for _, _, followed in _apart(sample, video))
        return _direction(first, OBJECT_SPEEDS), _direction(second, DISTRACTOR_SPEEDS)

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """``<thing>_direction`` and what ``shape_tracker`` measures of ``object`` and ``distractor``, each followed by
        its own colour; None for all of a thing that is gone."""
        found: dict[str, AttributeValue] = {}
        kinds = (("object", OBJECT_SPEEDS), ("distractor", DISTRACTOR_SPEEDS))
        for (name, speeds), (thing, alone, followed) in zip(kinds, _apart(sample, video), strict=True):
            direction = _direction(followed, speeds)
            measured = measure(alone, followed, thing.background, thing.colour, SHAPES)
            measured = measured or dict.fromkeys(("shape", *LEAST))
            found[f"{name}_direction"] = None if direction is None else CLASSES[direction]
            found.update({f"{name}_{part}": value for part, value in measured.items()})
        return None if all(value is None for value in found.values()) else found

    def moved(self, sample: Sample, video: Tensor) -> Literal["object", "distractor", "both", "neither"]:
        """Which of the two goes another way in ``video`` than in ``sample.video``; one that is lost does not count."""
        before = (sample.attributes["object_direction"], sample.attributes["distractor_direction"])
        after = self.directions(sample, video)
        first, second = (new not in (None, old) for old, new in zip(before, after, strict=True))
        if first and second:
            return "both"
        return "object" if first else "distractor" if second else "neither"

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        return self.directions(sample, video)[0]

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The object goes the goal's way, the distractor as before."""
        return self._video(Scene.of(sample), _class(goal), sample.attributes["distractor_direction"])

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The distractor goes the way that predicts the goal in training, the object as before, ``[T, 3, H, W]``.

        What a method should find for a target that reads the distractor.

        Raises:
            NotImplementedError: the goal is not one class.
        """
        return self._video(Scene.of(sample), sample.attributes["object_direction"], PARTNER[_class(goal)])

    def _video(self, scene: Scene, label: int, distractor: int) -> Tensor:
        return torch.from_numpy(self.pixels(scene, label, distractor)).float() / 255


def _class(goal: Goal) -> int:
    if not isinstance(goal, ClassGoal):
        raise NotImplementedError(f"Shape-Shortcut renders directions, not {goal}")
    return goal.index


def _apart(sample: Sample, video: Tensor) -> list[tuple[shape_moving.Scene, np.ndarray, Followed]]:
    """Object and distractor, each followed in the video ``[T, 3, H, W]`` (0–255) in which what looks more like the
    other is wiped out."""
    content, pixels = Scene.of(sample), video.clamp(0, 1).numpy() * 255
    background = np.array(BACKGROUNDS[content.object.background], float)
    things = (content.object, content.distractor)
    colours = [np.array(COLOURS[thing.colour], float) for thing in things]
    first, second = (_distance(pixels, background, colour) for colour in colours)
    found = []
    for thing, colour, foreign in zip(things, colours, (second < first, first < second), strict=True):
        alone = np.where(foreign[:, None], background[:, None, None], pixels)
        found.append((thing, alone, follow(alone, background, colour)))
    return found


def _direction(followed: Followed, speeds: tuple[float, ...]) -> int | None:
    """Direction of a thing of those speeds."""
    found = track(followed, slowest=min(speeds), fastest=max(speeds))
    return None if found is None else found.direction


def _distance(pixels: np.ndarray, background: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How far the colour of each pixel is from all blends of background and colour, ``[T, H, W]``."""
    contrast, offset = colour - background, pixels - background[:, None, None]
    share = (np.einsum("tchw,c->thw", offset, contrast) / (contrast @ contrast)).clip(0, 1)
    return np.sqrt(((offset - share[:, None] * contrast[:, None, None]) ** 2).sum(1))
