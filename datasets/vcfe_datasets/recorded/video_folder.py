"""The user's own videos, in one folder for each class or listed in a table with a label or value for each video.

- If ``root`` is a folder, it contains ``train/<class>/<video>`` and ``test/<class>/<video>``, or ``<class>/<video>``.
  In the first case, it can contain ``validation/<class>/<video>`` (or ``val``) too; in the second, one fifth of the
  videos form the test split.
- If ``root`` is a ``.csv`` file, it has the columns ``path`` (relative to the folder of the file) and ``label`` (a
  name) or ``value`` (a number). Optional columns are ``split`` (``train``, ``validation`` or ``test``; by default, one
  fifth of the groups form the test split), ``group`` (for instance the person, whose videos stay in one split; by
  default, each video is a group) and ``fps`` (which overrides the frame rate of the file).

If there are no validation videos, one tenth of the training groups becomes the validation split.

A video is a file that FFmpeg can read or a folder of pictures, one for each frame, with 25 frames per second unless the
table specifies the rate.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Split, Values
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import PICTURES, PictureFolder
from vcfe_bench.video.timeline import Source
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, draw

SUFFIXES = frozenset({".avi", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".m4v", ".webm", ".wmv"})
FOLDERS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
"""Splits by the name of their folder."""
RATE = 25.0
"""Frame rate of folders of pictures, unless the table specifies it."""
COLUMNS = ("path", "label", "value", "split", "group", "fps")


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
    fps: float = Field(default=0.0, ge=0)
    change: float = Field(default=0.25, gt=0, le=1)
    tolerance: float = Field(default=0.1, gt=0, le=1)
    unit: str = "units"


@dataclass(frozen=True)
class _Video:
    """A video with its class name or value."""

    name: str
    label: str | float
    split: Split
    source: Source
    group: str = ""


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
        clips = [Clip(v.name, v.source, self._label(v.label), v.split, group=v.group) for v in self._videos]
        return Listing(tuple(clips), self._strays)

    def _label(self, label: str | float) -> int | float:
        return self.classes.index(label) if isinstance(label, str) else label

    @cached_property
    def _videos(self) -> list[_Video]:
        return self._from_table() if self.root.is_file() else self._from_folders()

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

    def _from_folders(self) -> list[_Video]:
        root = self.root
        given = all((root / split).is_dir() for split in ("train", "test"))
        videos: list[_Video] = []
        for folder in [root / name for name in FOLDERS if (root / name).is_dir()] if given else [root]:
            for path in sorted(folder.glob("*/*")):
                if path.name.startswith(".") or not (_pictures(path) or path.suffix.lower() in SUFFIXES):
                    continue
                name = path.relative_to(root).as_posix()
                split = FOLDERS[folder.name] if given else _default_split(name)
                videos.append(_Video(name, path.parent.name, split, _source(path, None)))
        return videos

    def _from_table(self) -> list[_Video]:
        file = self.root
        try:
            table = pd.read_csv(file, dtype=str, keep_default_na=False).map(str.strip)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is not a readable CSV file: {error}") from None
        columns = set(table.columns)
        if unknown := columns - set(COLUMNS):
            raise UsageError(f"{file} has an unknown column {sorted(unknown)[0]}; columns are: {', '.join(COLUMNS)}")
        if "path" not in columns or len(columns & {"label", "value"}) != 1:
            raise UsageError(f"{file} needs the column path and either label or value")
        duplicates = table.loc[table["path"].duplicated(), "path"]
        if len(duplicates):
            raise UsageError(f"{file} lists {duplicates.iloc[0]} more than once")
        return [self._row(row, f"{file}, line {number + 2}") for number, row in enumerate(table.to_dict("records"))]

    def _row(self, row: Mapping[Hashable, str], where: str) -> _Video:
        name, group = row["path"], row.get("group", "")
        split = row.get("split") or _default_split(group or name)
        if split not in FOLDERS:
            raise UsageError(f"{where}: split must be train, validation or test, not '{split}'")
        label = row["label"] if "label" in row else _number(row["value"], f"{where}: value")
        if label == "":
            raise UsageError(f"{where}: the label is empty")
        rate = _number(row["fps"], f"{where}: fps") if row.get("fps") else None
        if rate is not None and rate <= 0:
            raise UsageError(f"{where}: fps must be greater than 0, not {rate:g}")
        return _Video(name, label, FOLDERS[split], _source(self.root.parent / name, rate), group)


def _default_split(name: str) -> Split:
    return "test" if draw(name, 5) == 4 else "train"


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{what} must be a number, not '{text}'")
    return number


def _pictures(path: Path) -> bool:
    return path.is_dir() and any(file.suffix.lower() in PICTURES for file in path.iterdir())


def _source(path: Path, rate: float | None) -> Source:
    return PictureFolder(path, rate or RATE) if path.is_dir() else VideoFile(path, rate)
