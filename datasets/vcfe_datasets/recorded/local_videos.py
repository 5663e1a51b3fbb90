"""What datasets of recorded videos share: they are read from a local copy, which the user has to get.

A dataset lists the videos of a copy with their labels and split. The paper's preparation is made once, into a cache,
when a split is first asked for. Within a split, videos stand in an order drawn from their names, so that the first few
are a fair choice and a video keeps its neighbours when others are added.
"""

from __future__ import annotations

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Dataset, Sample, Split
from vcfe_bench.video import lossless
from vcfe_bench.video.decoding import Source, middle
from vcfe_datasets.recorded.clip_cache import VERSION, ClipCache, Entry, Preparation

SHOWN = 3
"""How many of many names a message shows."""


@dataclass(frozen=True)
class Clip:
    """One video of a local copy.

    Attributes:
        id: its name, unique in the dataset.
        source: where it is.
        label: class index, or value.
        split: where it belongs.
        attributes: what else is known of it; JSON-serialisable.
    """

    id: str
    source: Source
    label: int | float
    split: Split
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """The videos of a local copy, and what cannot be placed: by name, with the reason."""

    clips: tuple[Clip, ...]
    strays: Mapping[str, str] = field(default_factory=dict)


def draw(text: str, parts: int) -> int:
    """A part, 0 to ``parts - 1``, drawn from a name: the same on every machine, whatever other names there are."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % parts


def some(names: Iterable[str]) -> str:
    """The first of many names, and how many more there are."""
    first = sorted(names)
    more = f" and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
    return ", ".join(first[:SHOWN]) + more


def contents(folder: Path) -> str:
    """What a message says that a folder holds."""
    return some(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir()) or "nothing"


class LocalVideos(Dataset, ABC):
    """A dataset that is read from a local copy of its files.

    ``Params`` has ``root``, ``frames`` and ``size``.
    """

    name: ClassVar[str]
    """The folder's name under ``$VCFE_DATA``, where no root is given."""
    home: ClassVar[str]
    """The dataset's home page, where a copy can be asked for; empty where there is none."""
    tree: ClassVar[str]
    """What a copy looks like, in one line."""
    params: Any

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.shape = (self.params.frames, self.params.size, self.params.size)
        self._usable: dict[Split, list[tuple[Clip, Entry]]] = {}

    @abstractmethod
    def find(self, root: Path) -> Listing:
        """The videos of the copy at ``root``, none where nothing is recognised.

        Raises:
            UsageError: a file that tells labels or splits is missing or unreadable.
        """

    def preparation(self) -> Preparation:
        """What is made of every video; by default spread over its whole length, at its own speed."""
        return Preparation(self.params.frames, self.params.size)

    def describe(self, clip: Clip, entry: Entry) -> Mapping[str, Any]:
        """``Sample.attributes`` of a clip."""
        return clip.attributes

    @cached_property
    def root(self) -> Path:
        """The local copy.

        Raises:
            UsageError: none is named, or there is nothing at that place.
        """
        data = os.environ.get("VCFE_DATA")
        if not self.params.root and not data:
            raise UsageError(f"{self._wanted('no root is given')}: write {self.name}[root=DIR] or set VCFE_DATA")
        root = Path(self.params.root or Path(str(data)) / self.name).expanduser()
        if not root.exists():
            raise UsageError(f"{self._wanted(f'there is no {root}')}; {self._found_beside(root)}")
        return root

    @cached_property
    def listing(self) -> Listing:
        """The videos of the local copy.

        Raises:
            UsageError: there is no copy, or it does not look like one.
        """
        found = self.find(self.root)
        if not any(clip.source.path.exists() for clip in found.clips):
            raise self.unlike("no video of it")
        return found

    def unlike(self, lack: str) -> UsageError:
        """The error that a copy lacks something."""
        held = contents(self.root) if self.root.is_dir() else "a file"
        return UsageError(f"{self._wanted(f'{lack} in {self.root}')}; found: {held}")

    def table(self, path: Path, **options: Any) -> pd.DataFrame:
        """A csv file of the copy, all text; ``options`` are those of ``pandas.read_csv``.

        Raises:
            UsageError: it is missing or unreadable.
        """
        name = path.relative_to(self.root).as_posix()
        try:
            return pd.read_csv(path, dtype=str, **options)
        except FileNotFoundError:
            raise self.unlike(f"no {name}") from None
        except (OSError, ValueError) as error:
            raise self.unlike(f"no readable {name} ({error})") from None

    def size(self, split: Split) -> int:
        return len(self.usable(split))

    def usable(self, split: Split) -> list[tuple[Clip, Entry]]:
        """The videos of a split that can be used, in its order, prepared first where they are not yet.

        What cannot be used is told once, on standard error.
        """
        if split not in self._usable:
            entries = self._prepared(split)
            clips = sorted((clip for clip in self.listing.clips if clip.split == split), key=_order)
            self._usable[split] = [(clip, entries[clip.id]) for clip in clips if not entries[clip.id].problem]
            bad = {id: entry.problem for id, entry in entries.items() if entry.problem}
            if bad:
                told = some(f"{id} ({problem})" for id, problem in bad.items())
                print(
                    f"{self.name}: {len(bad)} of {len(entries)} videos of the {split} split cannot be used: {told}; "
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

    def inventory(self) -> pd.DataFrame:
        """All videos of both splits, prepared first where they are not yet; what cannot be placed has no split.

        Columns: ``id``, ``split``, ``label`` (class name or value), ``problem`` (empty where it can be used).
        """
        rows: list[tuple[str, str, str | float, str]] = [
            (clip.id, split, self._named(clip.label), entries[clip.id].problem)
            for split, entries in ((split, self._prepared(split)) for split in ("train", "test"))
            for clip in self.listing.clips
            if clip.split == split
        ]
        rows += [(name, "", "", reason) for name, reason in sorted(self.listing.strays.items())]
        return pd.DataFrame(rows, columns=["id", "split", "label", "problem"])

    def card(self) -> str:
        home = f"Home page: {self.home}\n\n" if self.home else ""
        return f"{super().card()}\n\n{home}A copy looks like this: `{self.tree}`\n"

    @cached_property
    def cache(self) -> ClipCache:
        """The prepared clips of this copy."""
        preparation = self.preparation()
        key = hashlib.sha256(f"{self.root.resolve()}\0{preparation}\0{VERSION}".encode()).hexdigest()[:12]
        return ClipCache(weights.cache() / "clips" / f"{self.name}-{key}", preparation)

    def _prepared(self, split: Split) -> dict[str, Entry]:
        sources = {clip.id: clip.source for clip in self.listing.clips if clip.split == split}
        return self.cache.fill(sources, f"{self.name}: preparing {split}")

    def _named(self, label: int | float) -> str | float:
        return self.classes[int(label)] if self.classes else label

    def _wanted(self, lack: str) -> str:
        source = f"a copy comes from {self.home} and" if self.home else "it"
        return f"{self.name}: {lack}; {source} looks like {self.tree}"

    def _found_beside(self, root: Path) -> str:
        above = next(folder for folder in root.absolute().parents if folder.is_dir())
        return f"{above} holds: {contents(above)}"


def _order(clip: Clip) -> bytes:
    return hashlib.sha256(clip.id.encode()).digest()


def boxes_of(boxes: Mapping[int, tuple[float, float, float, float]], entry: Entry, size: int) -> list[list[float]]:
    """Boxes ``[T, 4]`` in the pixels of a clip, from boxes in those of its video by frame; NaN where there is none.

    All are left, top, right, bottom. What lies outside the clip's square is cut off.
    """
    left, top, right, _ = middle(entry.height, entry.width)
    scale = size / (right - left)
    nowhere = (np.nan,) * 4
    found = np.array([boxes.get(frame, nowhere) for frame in entry.picked], dtype=float)
    found = ((found - (left, top, left, top)) * scale).clip(0, size)
    found[~(found[:, 2:] > found[:, :2]).all(axis=1)] = np.nan
    return found.tolist()
