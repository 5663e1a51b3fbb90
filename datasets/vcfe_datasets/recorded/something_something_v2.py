"""Something-Something V2: 174 interactions of hands with objects (Goyal et al., ICCV 2017).

Used by LD-ViCE (arXiv 2509.08422), whose clip format is not known to us. Here a clip has 16 frames of 224×224 pixels,
spread over the video.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.text_files import read_text
from vcfe_bench.interfaces import Split
from vcfe_bench.video.files import VideoFile
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos

VIDEOS = "20bn-something-something-v2"
PREFIX = "something-something-v2-"
"""Prefix of the file names of the lists in older copies."""


@validated(frozen=True, config={"extra": "forbid"})
class SomethingSomethingV2Params:
    """``root``: path of the local copy. ``frames`` and ``size`` set the clip format.

    ``held_out``: the official part that is used as test split.
    """

    root: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=224, ge=16)
    held_out: Literal["validation", "test"] = "validation"


class SomethingSomethingV2(LocalVideos):
    """Hands interacting with objects in one of 174 ways; the test split is the official validation part, as in papers.

    One in ten of the training videos is for validation. ``held_out=test`` uses the official test part as test split,
    with the classes from ``test-answers.csv``, and the official validation part for validation.
    """

    Params = SomethingSomethingV2Params
    params: SomethingSomethingV2Params
    name = "something_something_v2"
    home = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
    tree = f"{VIDEOS}/78687.webm, labels.json, train.json, validation.json"

    @cached_property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The templates in ``labels.json``, in the order of their numbers."""
        indices: dict[str, str] = self._json("labels")
        return tuple(sorted(indices, key=lambda template: int(indices[template])))

    def find(self, root: Path) -> Listing:
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        parts: dict[Split, dict[str, str]] = {"train": self._labelled("train"), "test": self._held_out()}
        if self.params.held_out == "test":
            parts["validation"] = self._labelled("validation")
        indices = {template: label for label, template in enumerate(self.classes)}
        for split, part in parts.items():
            for id, template in part.items():
                if template in indices:
                    clips.append(Clip(id, VideoFile(root / VIDEOS / f"{id}.webm"), indices[template], split))
                else:
                    strays[id] = f"'{template}' is not in labels.json"
        return Listing(tuple(clips), strays)

    def _held_out(self) -> dict[str, str]:
        """Template of each test video."""
        if self.params.held_out == "validation":
            return self._labelled("validation")
        table = self.table(self._file("test-answers.csv"), sep=";", header=None, names=["id", "label"])
        return {id: _template(label) for id, label in zip(table["id"], table["label"], strict=True)}

    def _labelled(self, part: str) -> dict[str, str]:
        """Template of each video of an official part."""
        return {str(entry["id"]): _template(entry["template"]) for entry in self._json(part)}

    def _json(self, name: str) -> Any:
        file = self._file(f"{name}.json")
        try:
            return json.loads(read_text(file))
        except ValueError as error:
            raise self.unlike(f"no readable {file.name} ({error})") from None

    def _file(self, name: str) -> Path:
        """Path of a list, under its current or its older name, in the root or in ``labels/``."""
        for folder in (self.root, self.root / "labels"):
            for file in (folder / name, folder / f"{PREFIX}{name}"):
                if file.is_file():
                    return file
        raise self.unlike(f"no {name}")


def _template(text: str) -> str:
    """A template without brackets, as in ``labels.json``."""
    return text.replace("[", "").replace("]", "")
