"""Shape-Scenes: two to four objects at once; the class is a pair of attributes that occur together.

A dataset with known ground truth for explanations by attribute and location, such as the tubes of Kanehira et al. (CVPR
2019): the attributes of every video, their boxes in every frame, and the attributes that determine each class are
known. An attribute is the shape, the colour or the motion of an object. Eight attributes form a ring, and each class is
a pair of neighbours in the ring (``CLASS_ATTRIBUTES``), so that it shares one attribute with each of two other classes.
A video shows both attributes of exactly one pair, on one object or on two; everything else is drawn at random.

Each object stays within its own quarter of the frame, so objects never meet.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import AttributeValue, Sample, Split
from vcfe_datasets.shapes.shape_recognition import recognise
from vcfe_datasets.shapes.shape_scene import (
    ATTRIBUTES,
    CLASS_ATTRIBUTES,
    CLASSES,
    RING,
    Item,
    Scene,
    boxes,
    label,
    nearest,
    render,
    scene,
)
from vcfe_datasets.shapes.shape_world import FPS, ShapeParams, ShapeWorld

COUNT = 64_000
"""Number of training and validation videos together."""


@validated(frozen=True, config={"extra": "forbid"})
class ShapeScenesParams(ShapeParams):
    """``frames`` and ``size`` (pixels) set the clip format; another ``seed`` yields another 64,000 scenes."""


class ShapeScenes(ShapeWorld):
    """Several objects, each with its own motion; the class is a pair of attributes, whose locations are known.

    ``Sample.attributes`` contains ``attributes``, the names of those present; ``objects``, the attributes and the boxes
    ``[T, 4]`` (left, top, right, bottom) in pixels of each object; and ``scene``, a description of the whole scene.
    """

    Params = ShapeScenesParams
    classes = CLASSES
    count = COUNT
    target = "scenes_c3d"
    attributes = ATTRIBUTES
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
        """The objects in ``video``, an edit of ``sample``; None if it shows anything else."""
        return recognise(video.clamp(0, 1).numpy() * 255.0, Scene.of(sample).background)

    def oracle(self, sample: Sample, video: Tensor) -> int | None:
        items = self.recognise(sample, video)
        return None if items is None else label(item.look for item in items)

    def attributes_of(self, sample: Sample, video: Tensor) -> dict[str, AttributeValue] | None:
        """The presence of each attribute and the number of ``objects``."""
        items = self.recognise(sample, video)
        if items is None:
            return None
        present = set(itertools.chain.from_iterable(item.look for item in items))
        return {**{name: name in present for name in ATTRIBUTES}, "objects": float(len(items))}

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The scene of the goal's class with the fewest changes (see ``nearest``)."""
        if not isinstance(goal, ClassGoal):
            raise NotImplementedError(f"Shape-Scenes renders classes, not {goal}")
        return self._video(nearest(Scene.of(sample), goal.index))

    def _video(self, scene: Scene) -> Tensor:
        return torch.from_numpy(self.pixels(scene)).float() / 255
