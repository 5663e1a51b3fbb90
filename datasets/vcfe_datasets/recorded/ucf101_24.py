"""UCF101-24: 24 sports of UCF101 with boxes around the actors (Soomro et al. 2012), used for counterfactual tubes.

The classifier of Kanehira et al. (CVPR 2019) takes 16 frames of 112×112 pixels. The paper does not state which frames
are taken; here they are spread over the video. Its attributes are not public. The attributes used here are our own and
are assigned to classes: the movements of the actor that the name of the class implies. Their boxes are therefore those
of the actors, from the corrected annotation ``UCF101v2-GT.pkl``.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import describe
from vcfe_bench.interfaces import Split
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import PictureFolder
from vcfe_bench.video.timeline import Source
from vcfe_datasets.recorded.clip_cache import Entry
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, boxes_of

MOVEMENTS = {
    "Basketball": ("throws", "stands"),
    "BasketballDunk": ("runs", "jumps", "throws"),
    "Biking": ("sits", "pedals"),
    "CliffDiving": ("jumps", "falls", "turns in the air"),
    "CricketBowling": ("runs", "throws"),
    "Diving": ("jumps", "falls", "bends"),
    "Fencing": ("steps", "thrusts"),
    "FloorGymnastics": ("runs", "jumps", "turns in the air"),
    "GolfSwing": ("stands", "swings arms"),
    "HorseRiding": ("sits", "is carried"),
    "IceDancing": ("glides", "turns around"),
    "LongJump": ("runs", "jumps"),
    "PoleVault": ("runs", "jumps", "falls"),
    "RopeClimbing": ("climbs",),
    "SalsaSpin": ("steps", "turns around"),
    "SkateBoarding": ("stands", "glides"),
    "Skiing": ("glides", "bends"),
    "Skijet": ("sits", "glides"),
    "SoccerJuggling": ("stands", "kicks"),
    "Surfing": ("glides", "bends", "stands"),
    "TennisSwing": ("steps", "swings arms"),
    "TrampolineJumping": ("jumps",),
    "VolleyballSpiking": ("jumps", "swings arms"),
    "WalkingWithDog": ("steps",),
}
"""Movements of the actor by class; the classes are in the order of the annotation's labels."""
ANNOTATION = "UCF101v2-GT.pkl"
RATE = 25.0
"""Frame rate of UCF101, which folders of pictures do not specify."""
RESOLUTION = (240, 320)
"""Height and width of the frames that boxes belong to, where the annotation does not say."""
STRETCH = 0.02
"""Largest accepted difference of the ratio of width to height from that of the annotated frames, relative to it."""
LOST = 0.05
"""Largest accepted difference of the number of frames from the annotated one, relative to it."""
_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@validated(frozen=True, config={"extra": "forbid"})
class UCF101_24Params:
    """``root``: path of the local copy. ``frames`` and ``size`` set the clip format."""

    root: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=112, ge=16)


class UCF101_24(LocalVideos):
    """People in one of 24 sports, with boxes; the official split 1, in which no group of videos is in both parts.

    One in ten of the training groups, the same numbers for every sport, are for validation.

    Videos are read from ``rgb-images`` or, if they are not there, from the ``.avi`` files of UCF101.
    """

    Params = UCF101_24Params
    params: UCF101_24Params
    classes = tuple(MOVEMENTS)
    attributes = tuple(sorted({name for names in MOVEMENTS.values() for name in names}))
    name = "ucf101_24"
    home = "https://github.com/open-mmlab/mmaction2/blob/main/tools/data/ucf101_24/README.md"
    tree = f"{ANNOTATION}, rgb-images/Basketball/v_Basketball_g01_c01/00001.jpg (or v_Basketball_g01_c01.avi anywhere)"

    def find(self, root: Path) -> Listing:
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        files = {path.stem: path for path in sorted(root.rglob("v_*_g??_c??.avi"))}
        parts: dict[Split, list[str]] = {
            "train": self._annotation.train_videos[0],
            "test": self._annotation.test_videos[0],
        }
        for split, names in parts.items():
            for name in names:
                category = name.split("/")[0]
                if problem := self._problem(name):
                    strays[name] = problem
                elif category in MOVEMENTS:
                    source = _source(root / "rgb-images" / name, files)
                    clips.append(Clip(name, source, self.classes.index(category), split, group=_group(name)))
                else:
                    strays[name] = f"{category} is not one of the 24 classes"
        return Listing(tuple(clips), strays)

    def _problem(self, name: str) -> str:
        """Why the boxes of a video cannot be used; empty if they can."""
        try:
            self._annotation.tubes(name)
            self._annotation.frame(name)
            self._annotation.length(name)
        except ValueError as error:
            return f"its boxes in {ANNOTATION} cannot be used: {error}"
        return ""

    def describe(self, clip: Clip, entry: Entry) -> Mapping[str, Any]:
        movements = list(MOVEMENTS[self.classes[int(clip.label)]])
        objects = [
            {
                "attributes": movements,
                "boxes": boxes_of(
                    {int(row[0]) - 1: tuple(row[1:5]) for row in tube},
                    self._annotation.frame(clip.id),
                    entry.picked,
                    self.params.size,
                ),
            }
            for tube in self._annotation.tubes(clip.id)
        ]
        return {"attributes": movements, "objects": objects}

    def mismatch(self, clip: Clip, entry: Entry) -> str:
        """Boxes are scaled to a copy of another size, but it has to have the annotated shape and number of frames."""
        height, width = self._annotation.frame(clip.id)
        if abs(entry.width * height / (entry.height * width) - 1) > STRETCH:
            return (
                f"its boxes do not apply to frames of another shape: {entry.width}x{entry.height} pixels instead of "
                f"{width}x{height}, so the copy was cropped or stretched"
            )
        frames = self._annotation.length(clip.id) or entry.length
        if abs(entry.length - frames) > max(1, LOST * frames):
            return f"its boxes do not apply to another number of frames: {entry.length} instead of {frames}"
        return ""

    @cached_property
    def _annotation(self) -> _Annotation:
        """The annotation file.

        ``gttubes`` has, for each video and class, a list of tubes: arrays with the columns frame (from 1), left, top,
        right, bottom. ``train_videos`` and ``test_videos`` are lists of videos by official split. ``resolution`` is
        the height and width of the annotated frames by video, ``nframes`` their number.
        """
        try:
            with (self.root / ANNOTATION).open("rb") as file:
                annotation = _Annotation(**_known(_ArrayUnpickler(file, encoding="latin1").load()))
        except FileNotFoundError:
            raise self.unlike(f"no {ANNOTATION}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise self.unlike(f"no readable {ANNOTATION} ({where}: {first['msg']})") from None
        except Exception as error:
            raise self.unlike(f"no readable {ANNOTATION} ({describe(error)})") from None
        return annotation


class _Annotation(BaseModel):
    """The parts of the annotation file that are used."""

    gttubes: dict[str, Any]
    train_videos: Annotated[list[list[str]], Field(min_length=1)]
    test_videos: Annotated[list[list[str]], Field(min_length=1)]
    resolution: dict[str, Any] = {}
    nframes: dict[str, Any] = {}

    def tubes(self, video: str) -> list[np.ndarray]:
        """Arrays ``[n, 5]`` of a video.

        Raises:
            ValueError: they have another form.
        """
        groups = self.gttubes.get(video, {})
        if not isinstance(groups, dict) or not all(isinstance(group, list) for group in groups.values()):
            raise ValueError("not a list of tubes for each class")
        tubes = [tube for group in groups.values() for tube in group]
        if not all(isinstance(t, np.ndarray) and t.dtype.kind in "fiu" and t.shape[1:] == (5,) for t in tubes):
            raise ValueError("not arrays of five columns")
        return tubes

    def frame(self, video: str) -> tuple[int, int]:
        """Height and width of the annotated frames of a video.

        Raises:
            ValueError: they have another form.
        """
        height, width = _whole(self.resolution.get(video, RESOLUTION), 2, "a height and a width")
        return height, width

    def length(self, video: str) -> int | None:
        """Number of annotated frames of a video; None if the file does not say.

        Raises:
            ValueError: it is no number.
        """
        return _whole(self.nframes[video], 1, "a number of frames")[0] if video in self.nframes else None


def _whole(stored: Any, count: int, what: str) -> list[int]:
    """``count`` positive integers from what a file stores.

    Raises:
        ValueError: it stores something else.
    """
    numbers = np.asarray(stored)
    if numbers.dtype.kind not in "iu" or numbers.size != count or (numbers < 1).any():
        raise ValueError(f"not {what}: {stored!r}")
    return [int(number) for number in numbers.flat]


def _known(content: object) -> dict[str, Any]:
    """The parts of an annotation that are used; ``content`` is what the file contains."""
    if not isinstance(content, dict):
        raise TypeError(f"a {type(content).__name__}, not a dictionary")
    return {name: content[name] for name in _Annotation.model_fields if name in content}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler for arrays and plain containers written by Python 2, which refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"{module}.{name} is neither an array nor a container")
        return _ARRAYS[module, name]


def _group(name: str) -> str:
    """The number of a video's group, ``g08`` of ``v_Basketball_g08_c01``."""
    return name.rsplit("_", 2)[-2]


def _source(folder: Path, files: Mapping[str, Path]) -> Source:
    """The folder of pictures, or the file of that name if there is no folder."""
    if folder.name in files and not folder.is_dir():
        return VideoFile(files[folder.name])
    return PictureFolder(folder, RATE)
