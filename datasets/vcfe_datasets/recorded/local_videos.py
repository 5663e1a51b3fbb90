"""Common base of datasets of recorded videos, which are read from a local copy that the user provides.

A dataset lists the videos of the copy with their labels and splits. Validation videos are taken from the training part
by group unless the copy names them. The first access to a split preprocesses its videos
as in the paper, once, into a cache. Within a split, videos are ordered by a hash of their names, so that the first few
are an unbiased selection and the order is stable when videos are added.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vcfe_bench.core import text, weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text_files import read_text
from vcfe_bench.interfaces import Dataset, Sample, Split
from vcfe_bench.plugins.terms import SPLITS
from vcfe_bench.video import lossless
from vcfe_bench.video.decoding import middle
from vcfe_bench.video.timeline import Source
from vcfe_datasets.recorded.clip_cache import VERSION, ClipCache, Entry, Preparation

HELD_OUT = 10
"""One in so many groups of the training videos is for validation."""
SHOWN = 3
"""Number of names that a message lists before it abbreviates."""


@dataclass(frozen=True)
class Clip:
    """One video of a local copy.

    Attributes:
        id: unique within the dataset.
        source: file or folder from which it is decoded.
        label: class index, or value in the dataset's unit.
        split: split to which it belongs.
        attributes: further facts about it; JSON-serialisable.
        group: what it has in common with others, such as the person; training and validation share no group. By
            default, it is on its own.
    """

    id: str
    source: Source
    label: int | float
    split: Split
    attributes: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """Contents of a local copy.

    Attributes:
        clips: the videos that belong to the dataset.
        strays: files and entries that could not be assigned to the dataset: the reason by name.
    """

    clips: tuple[Clip, ...]
    strays: Mapping[str, str] = field(default_factory=dict)


def draw(text: str, parts: int) -> int:
    """A part from 0 to ``parts - 1``, chosen by a hash of ``text``: independent of the machine and of other names."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % parts


def with_validation(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips with a validation split: one in ten groups of the training split, unless there is a validation split.

    Groups are chosen by a hash of their names, so that the choice does not depend on which others a copy has; a copy
    whose training split has two groups or more has at least one in each of the two splits.
    """
    groups = sorted({_group(clip) for clip in clips if clip.split == "train"}, key=_validation_hash)
    if len(groups) < 2 or any(clip.split == "validation" for clip in clips):
        return tuple(clips)
    chosen = {group for group in groups[:-1] if draw(f"validation {group}", HELD_OUT) == 0} or {groups[0]}
    moved = (clip.split == "train" and _group(clip) in chosen for clip in clips)
    return tuple(replace(c, split="validation") if move else c for c, move in zip(clips, moved, strict=True))


def _group(clip: Clip) -> str:
    return clip.group or clip.id


def _validation_hash(group: str) -> bytes:
    return hashlib.sha256(f"validation {group}".encode()).digest()


def some(names: Iterable[str]) -> str:
    """The first names in alphabetical order, and the number of those left out."""
    return text.some(sorted(names), SHOWN)


def contents(folder: Path) -> str:
    """Abbreviated list of the entries of a folder, for messages."""
    return some(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir()) or "nothing"


class LocalVideos(Dataset, ABC):
    """A dataset that is read from a local copy of its files.

    ``Params`` has to have ``root``, the path of the copy, and ``frames`` and ``size``, the clip format.
    """

    name: ClassVar[str]
    """Name of the folder under ``$VCFE_DATA`` that is used if no root is given."""
    home: ClassVar[str]
    """Home page of the dataset, where copies are available; empty if there is none."""
    tree: ClassVar[str]
    """Example of the files in a copy, in one line."""
    params: Any

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)
        self._usable: dict[Split, list[tuple[Clip, Entry]]] = {}

    @abstractmethod
    def find(self, root: Path) -> Listing:
        """The videos of the copy at ``root``; an empty listing if nothing is recognised.

        Raises:
            UsageError: a file with labels or splits is missing or unreadable.
        """

    def preparation(self) -> Preparation:
        """Preprocessing of every video; by default, frames are spread over its whole length at its original speed."""
        return Preparation(self.params.frames, self.params.size)

    def describe(self, clip: Clip, entry: Entry) -> Mapping[str, Any]:
        """``Sample.attributes`` of a clip."""
        return clip.attributes

    def mismatch(self, clip: Clip, entry: Entry) -> str:
        """Why the annotation of a video does not apply to the copy's file; empty if it does. The clip is left out."""
        return ""

    @cached_property
    def root(self) -> Path:
        """Path of the local copy.

        Raises:
            UsageError: no path is given, or it does not exist.
        """
        data = os.environ.get("VCFE_DATA")
        if not self.params.root and not data:
            raise UsageError(f"{self._hint('no root is given')}; write {self.name}[root=DIR] or set VCFE_DATA")
        root = Path(self.params.root or Path(str(data)) / self.name).expanduser()
        if not root.exists():
            raise UsageError(f"{self._hint(f'{root} does not exist')}; {self._nearest_folder(root)}")
        return root

    @cached_property
    def listing(self) -> Listing:
        """The videos of the local copy.

        Raises:
            UsageError: there is no copy, or it contains none of the dataset's videos.
        """
        listing = self.find(self.root)
        if not any(clip.source.path.exists() for clip in listing.clips):
            raise self.unlike("no video of it")
        return replace(listing, clips=with_validation(listing.clips))

    def unlike(self, problem: str) -> UsageError:
        """The error for a copy that does not have the expected files, with a hint what they look like."""
        present = contents(self.root) if self.root.is_dir() else "a file"
        return UsageError(f"{self._hint(f'{problem} in {self.root}')}; found: {present}")

    def table(self, path: Path, **options: Any) -> pd.DataFrame:
        """A CSV file of the copy, with all columns as text; ``options`` are those of ``pandas.read_csv``.

        Raises:
            UsageError: the file is missing or unreadable.
        """
        name = path.relative_to(self.root).as_posix()
        try:
            return pd.read_csv(io.StringIO(read_text(path)), dtype=str, index_col=False, **options)
        except FileNotFoundError:
            raise self.unlike(f"no {name}") from None
        except (OSError, ValueError) as error:
            raise self.unlike(f"no readable {name} ({error})") from None

    def size(self, split: Split) -> int:
        return len(self.usable(split))

    def usable(self, split: Split) -> list[tuple[Clip, Entry]]:
        """The usable videos of a split, in order, with their entries in the cache; preprocessed first if necessary.

        Videos that cannot be used are reported once, on standard error.
        """
        if split not in self._usable:
            entries = self._prepared(split)
            clips = sorted((clip for clip in self.listing.clips if clip.split == split), key=_order)
            self._usable[split] = [(clip, entries[clip.id]) for clip in clips if not entries[clip.id].problem]
            problems = [f"{id} ({entry.problem})" for id, entry in entries.items() if entry.problem]
            remarks = [f"{id} ({remark})" for id, entry in entries.items() for remark in entry.remarks]
            if remarks:
                print(f"{self.name}: videos of the {split} split to look at: {some(remarks)}", file=sys.stderr)
            if problems:
                print(
                    f"{self.name}: {len(problems)} of {len(entries)} videos of the {split} split cannot be used: "
                    f"{some(problems)}; "
                    "vcfe-bench dataset check lists them",
                    file=sys.stderr,
                )
        return self._usable[split]

    def sample(self, split: Split, index: int) -> Sample:
        clips = self.usable(split)
        if not 0 <= index < len(clips):
            raise IndexError(f"{split} has {len(clips)} videos, no index {index}")
        clip, entry = clips[index]
        video = lossless.dequantise(lossless.read(self.cache.file(clip.id)))
        return Sample(clip.id, video, clip.label, entry.fps, self.describe(clip, entry))

    def labels_of(self, split: Split) -> list[int | float]:
        """Labels of the usable videos of a split, in order."""
        return [clip.label for clip, _ in self.usable(split)]

    def notes(self, split: Split) -> tuple[str, ...]:
        """How many videos of a split and entries of the copy are left out, by reason, and what the others are like."""
        self.usable(split)
        entries = self._prepared(split)
        problems = Counter(_kind(entry.problem) for entry in entries.values() if entry.problem)
        strays = Counter(map(_kind, self.listing.strays.values()))
        remarks = Counter(_kind(remark) for entry in entries.values() for remark in entry.remarks)
        notes = []
        if problems:
            left_out = f"{problems.total()} of {len(entries)} videos of the {split} split are left out"
            notes.append(f"{self.spec}: {left_out}: {_counted(problems)}")
        if strays:
            notes.append(
                f"{self.spec}: {strays.total()} files or entries of the copy are in no split: {_counted(strays)}"
            )
        if remarks:
            notes.append(f"{self.spec}: videos of the {split} split to look at: {_counted(remarks)}")
        return tuple(notes)

    def inventory(self) -> pd.DataFrame:
        """All videos of all splits, preprocessed first if necessary, and the strays, which have no split.

        Columns: ``id``, ``split``, ``label`` (class name or value), ``problem`` (empty if the video can be used),
        ``remarks`` (what a user should know about a video that can be used).
        """
        rows: list[tuple[str, str, str | float, str, str]] = [
            (clip.id, split, self._named(clip.label), entries[clip.id].problem, "; ".join(entries[clip.id].remarks))
            for split, entries in ((split, self._prepared(split)) for split in SPLITS)
            for clip in self.listing.clips
            if clip.split == split
        ]
        rows += [(name, "", "", reason, "") for name, reason in sorted(self.listing.strays.items())]
        return pd.DataFrame(rows, columns=["id", "split", "label", "problem", "remarks"])

    def card(self) -> str:
        home = f"Home page: {self.home}\n\n" if self.home else ""
        return f"{super().card()}\n\n{home}Files in a copy: `{self.tree}`\n"

    @cached_property
    def cache(self) -> ClipCache:
        """The preprocessed clips of this copy."""
        preparation = self.preparation()
        key = hashlib.sha256(f"{self.root.resolve()}\0{preparation}\0{VERSION}".encode()).hexdigest()[:12]
        return ClipCache(weights.cache() / "clips" / f"{self.name}-{key}", preparation)

    def _prepared(self, split: Split) -> dict[str, Entry]:
        clips = {clip.id: clip for clip in self.listing.clips if clip.split == split}
        sources = {id: clip.source for id, clip in clips.items()}
        entries = self.cache.fill(sources, f"{self.name}: preparing {split}")
        return {
            id: entry if entry.problem else replace(entry, problem=self.mismatch(clips[id], entry))
            for id, entry in entries.items()
        }

    def _named(self, label: int | float) -> str | float:
        return self.classes[int(label)] if self.classes else label

    def _hint(self, problem: str) -> str:
        home = f"copies are available from {self.home}; " if self.home else ""
        return f"{self.name}: {problem}; {home}expected files: {self.tree}"

    def _nearest_folder(self, root: Path) -> str:
        """Contents of the deepest existing folder above ``root``, for messages."""
        folder = next(folder for folder in root.absolute().parents if folder.is_dir())
        return f"{folder} contains: {contents(folder)}"


def _kind(reason: str) -> str:
    """A reason without what is particular to one video: what follows a colon, and names in quotation marks."""
    return re.sub(r"'[^']*' ", "", reason.partition(": ")[0])


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())


def _order(clip: Clip) -> bytes:
    return hashlib.sha256(clip.id.encode()).digest()


def boxes_of(
    boxes: Mapping[int, tuple[float, float, float, float]], annotated: tuple[int, int], picked: Sequence[int], size: int
) -> list[list[float]]:
    """Boxes ``[T, 4]`` in pixels of a clip, from boxes in pixels of the annotated video, by frame; NaN for no box.

    Boxes are (left, top, right, bottom). They are clipped to the clip's square. ``annotated`` is the height and width
    of the frames that the boxes belong to; the copy may be larger or smaller, but has to show the same part of the
    picture. ``picked`` has the index of the video's frame for each frame of the clip.
    """
    left, top, right, _ = middle(*annotated)
    scale = size / (right - left)
    nowhere = (np.nan,) * 4
    clipped = np.array([boxes.get(frame, nowhere) for frame in picked], dtype=float)
    clipped = ((clipped - (left, top, left, top)) * scale).clip(0, size)
    clipped[~(clipped[:, 2:] > clipped[:, :2]).all(axis=1)] = np.nan
    return clipped.tolist()
