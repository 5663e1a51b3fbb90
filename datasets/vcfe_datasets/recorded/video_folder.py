"""Any videos of one's own: a folder for each class, or a table with a label or a value for each video.

- ``root`` is a folder: ``train/<class>/<video>`` and ``test/<class>/<video>``, or ``<class>/<video>``, of which every
  fifth is drawn for the test split.
- ``root`` is a ``.csv`` file with the columns ``path`` (from the file's own folder) and ``label`` (a name) or ``value``
  (a number), and if wanted ``split`` (``train`` or ``test``; otherwise every fifth is drawn for testing) and ``fps``
  (instead of the rate that the file gives).

A video is a file that FFmpeg reads, or a folder of pictures, one per frame, 25 a second where the table does not say.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import get_args

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Split, Values
from vcfe_bench.video.decoding import PICTURES, PictureFolder, Source, VideoFile
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, draw

SUFFIXES = frozenset({".avi", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".m4v", ".webm", ".wmv"})
SPLITS: tuple[Split, ...] = get_args(Split)
RATE = 25.0
COLUMNS = ("path", "label", "value", "split", "fps")


@validated(frozen=True, config={"extra": "forbid"})
class VideoFolderParams:
    """``root``: the folder, or the ``.csv`` file. ``frames`` and ``size`` give the form.

    ``fps`` is the rate that clips are said to have; 0: that which keeps the speed of each video. For values, ``change``
    and ``tolerance`` are those of the goals, as shares of the range of all values, and ``unit`` is their unit.
    """

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=224, ge=16)
    fps: float = Field(default=0.0, ge=0)
    change: float = Field(default=0.25, gt=0, le=1)
    tolerance: float = Field(default=0.1, gt=0, le=1)
    unit: str = "units"


class VideoFolder(LocalVideos):
    """Videos of one's own, in folders by class or from a table with labels or values."""

    Params = VideoFolderParams
    params: VideoFolderParams
    name = "video_folder"
    home = ""
    tree = "<class>/<video>.mp4, or train/<class>/<video>.mp4 and test/<class>/<video>.mp4, or a .csv file"

    @cached_property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of classes, sorted."""
        return tuple(sorted({label for _, label, _, _ in self._found if isinstance(label, str)}))

    @cached_property
    def values(self) -> Values | None:  # type: ignore[override]
        """The range of the table's values; None for classes."""
        found = [label for _, label, _, _ in self._found if isinstance(label, float)]
        if not found:
            return None
        low, high = min(found), max(found)
        span = high - low
        return Values(low, high, self.params.change * span, self.params.tolerance * span, self.params.unit)

    def preparation(self) -> Preparation:
        return Preparation(self.params.frames, self.params.size, fps=self.params.fps or None)

    def find(self, root: Path) -> Listing:
        clips = [
            Clip(name, source, self.classes.index(label) if isinstance(label, str) else label, split)
            for name, label, split, source in self._found
        ]
        return Listing(tuple(clips), self._strays)

    @cached_property
    def _found(self) -> list[tuple[str, str | float, Split, Source]]:
        """Name, class or value, split and place of each video."""
        return self._from_table() if self.root.is_file() else self._from_folders()

    @property
    def _strays(self) -> dict[str, str]:
        if self.root.is_file():
            return {}
        known = {source.path for _, _, _, source in self._found}
        return {
            path.relative_to(self.root).as_posix(): "not a video in a folder of a class"
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.startswith(".") and known.isdisjoint((path, path.parent))
        }

    def _from_folders(self) -> list[tuple[str, str | float, Split, Source]]:
        root = self.root
        given = all((root / split).is_dir() for split in SPLITS)
        found: list[tuple[str, str | float, Split, Source]] = []
        for folder in [root / split for split in SPLITS] if given else [root]:
            for path in sorted(folder.glob("*/*")):
                if path.name.startswith(".") or not (_pictures(path) or path.suffix.lower() in SUFFIXES):
                    continue
                name = path.relative_to(root).as_posix()
                split: Split = ("train" if folder.name == "train" else "test") if given else _drawn(name)
                found.append((name, path.parent.name, split, _source(path, None)))
        return found

    def _from_table(self) -> list[tuple[str, str | float, Split, Source]]:
        file = self.root
        try:
            table = pd.read_csv(file, dtype=str, keep_default_na=False).map(str.strip)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is not a readable csv file: {error}") from None
        columns = set(table.columns)
        if strange := columns - set(COLUMNS):
            raise UsageError(f"{file} has a column {sorted(strange)[0]}; there may be: {', '.join(COLUMNS)}")
        if "path" not in columns or len(columns & {"label", "value"}) != 1:
            raise UsageError(f"{file} needs a column path, and either label or value")
        twice = table.loc[table["path"].duplicated(), "path"]
        if len(twice):
            raise UsageError(f"{file} has {twice.iloc[0]} twice")
        return [self._row(row, f"{file}, line {number + 2}") for number, row in enumerate(table.to_dict("records"))]

    def _row(self, row: dict, where: str) -> tuple[str, str | float, Split, Source]:
        name, split = row["path"], row.get("split") or _drawn(row["path"])
        if split not in SPLITS:
            raise UsageError(f"{where}: split is train or test, not '{split}'")
        label = row["label"] if "label" in row else _number(row["value"], f"{where}: value")
        if label == "":
            raise UsageError(f"{where}: the label is empty")
        rate = _number(row["fps"], f"{where}: fps") if row.get("fps") else None
        if rate is not None and rate <= 0:
            raise UsageError(f"{where}: fps is more than 0, not {rate:g}")
        return name, label, split, _source(self.root.parent / name, rate)


def _drawn(name: str) -> Split:
    return "test" if draw(name, 5) == 4 else "train"


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{what} is a number, not '{text}'")
    return number


def _pictures(path: Path) -> bool:
    return path.is_dir() and any(file.suffix.lower() in PICTURES for file in path.iterdir())


def _source(path: Path, rate: float | None) -> Source:
    return PictureFolder(path, rate or RATE) if path.is_dir() else VideoFile(path, rate)
