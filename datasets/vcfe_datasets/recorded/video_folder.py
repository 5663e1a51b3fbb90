"""The user's own videos, in one folder for each class or listed in a table with a label or value for each video.

- If ``root`` is a folder, it contains ``train/<class>/<video>`` and ``test/<class>/<video>``, or ``<class>/<video>``.
  In the first case, it can contain ``validation/<class>/<video>`` too, which is the test split if there is no
  ``test``; common other names of these folders are understood. In the second, one fifth of the videos form the test
  split.
- If ``root`` is a ``.csv`` file, it has the columns ``path`` (relative to the folder of the file) and ``label`` (a
  name) or ``value`` (a number). Optional columns are ``split`` (named as the folders; by default, one fifth of the
  groups form the test split), ``group`` (for instance the person, whose videos stay in one split; by default, each
  video is a group) and ``fps`` (which overrides the frame rate of the file).

If there are no validation videos, one tenth of the training groups becomes the validation split.

A video is a file that FFmpeg can read, an animated picture, or a folder of pictures, one for each frame, with 25 frames
per second unless the table specifies the rate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Split, Values
from vcfe_bench.video.sources import is_video, source
from vcfe_bench.video.timeline import FASTEST, Source
from vcfe_datasets.recorded import video_table
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, draw

PARTS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}
"""Parts of a dataset by the names of their folders, and in the column ``split`` of a table."""


@validated(frozen=True, config={"extra": "forbid"})
class VideoFolderParams:
    """``root``: path of the folder or of the ``.csv`` file. ``frames`` and ``size`` set the clip format.

    ``fps`` is the nominal frame rate of the clips; 0 preserves the speed of each video. For regression, ``change`` and
    ``tolerance`` of the goals are given as fractions of the range of all values, and ``unit`` is the unit of the
    values.
    """

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=224, ge=16)
    fps: float = Field(default=0.0, ge=0, le=FASTEST)
    change: float = Field(default=0.25, gt=0, le=1)
    tolerance: float = Field(default=0.1, gt=0, le=1)
    unit: str = "units"


@dataclass(frozen=True)
class _Video:
    """A video with its class name or value; ``part`` is the split that is given for it."""

    name: str
    label: str | float
    part: Split | None
    group: str
    source: Source


class VideoFolder(LocalVideos):
    """The user's own videos, in folders by class or listed in a table with labels or values."""

    Params = VideoFolderParams
    params: VideoFolderParams
    name = "video_folder"
    home = ""
    tree = "<class>/<video>.mp4, or train/<class>/<video>.mp4 and test/<class>/<video>.mp4, or a .csv file"

    @cached_property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Class names, sorted."""
        return tuple(sorted({video.label for video in self._videos if isinstance(video.label, str)}))

    @cached_property
    def values(self) -> Values | None:  # type: ignore[override]
        """Range of the values in the table; None for classes."""
        values = [video.label for video in self._videos if isinstance(video.label, float)]
        if not values:
            return None
        low, high = min(values), max(values)
        span = high - low
        return Values(low, high, self.params.change * span, self.params.tolerance * span, self.params.unit)

    def preparation(self) -> Preparation:
        return Preparation(self.params.frames, self.params.size, fps=self.params.fps or None)

    def find(self, root: Path) -> Listing:
        parts = {video.part for video in self._videos}
        clips = [Clip(v.name, v.source, self._index(v.label), _split(v, parts), group=v.group) for v in self._videos]
        return Listing(tuple(clips), self._strays)

    def notes(self, split: Split) -> tuple[str, ...]:
        parts = {video.part for video in self._videos}
        if split != "test" or "validation" not in parts or "test" in parts:
            return super().notes(split)
        return (*super().notes(split), f"{self.spec}: the validation part is the test split: there is no test part")

    def _index(self, label: str | float) -> int | float:
        return self.classes.index(label) if isinstance(label, str) else label

    @cached_property
    def _videos(self) -> list[_Video]:
        return [*(self._from_table() if self.root.is_file() else self._from_folders())]

    @property
    def _strays(self) -> dict[str, str]:
        if self.root.is_file():
            return {}
        known = {video.source.path for video in self._videos}
        return {
            path.relative_to(self.root).as_posix(): "not a video in a class folder"
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.startswith(".") and known.isdisjoint((path, path.parent))
        }

    def _from_folders(self) -> Iterator[_Video]:
        for folder, part in self._parts():
            for path in sorted(folder.glob("*/*")):
                if is_video(path):
                    name = path.relative_to(self.root).as_posix()
                    yield _Video(name, path.parent.name, part, "", source(path))

    def _parts(self) -> list[tuple[Path, Split | None]]:
        """The folders of classes, and the part of the dataset that each is."""
        folders = [path for path in sorted(self.root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        named: list[tuple[Path, Split | None]] = [
            (path, PARTS[path.name.casefold()]) for path in folders if path.name.casefold() in PARTS
        ]
        parts = {part for _, part in named}
        given = named and (len(named) == len(folders) or ("train" in parts and len(parts) > 1))
        return named if given else [(self.root, None)]

    def _from_table(self) -> Iterator[_Video]:
        for row in video_table.read(self.root):
            if row.split and row.split not in PARTS:
                raise UsageError(f"{row.where}: split must be train, validation or test, not '{row.split}'")
            yield _Video(row.name, row.label, PARTS.get(row.split), row.group, source(row.path, row.fps))


def _split(video: _Video, parts: Collection[Split | None]) -> Split:
    """The split of a video in a dataset that has ``parts``."""
    if video.part == "validation" and "test" not in parts:
        return "test"
    return video.part or ("test" if draw(video.group or video.name, 5) == 4 else "train")
