"""Olympic Sports: sixteen sports from YouTube (Niebles et al., ECCV 2010), a dataset of the counterfactual tubes.

Kanehira et al. (CVPR 2019) give their classifier 16 frames of 112×112 pixels. They do not say which frames: here they
are spread over the video. Their attributes and boxes are not public. Where the copy has the class attributes of Liu et
al. (CVPR 2011) in ``attributes.npz``, those are the dataset's attributes; they have no places.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Split
from vcfe_datasets.recorded.clip_cache import Entry
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos
from vcfe_datasets.recorded.norpix_sequence import NorpixSequence

SPORTS = (
    "basketball_layup",
    "bowling",
    "clean_and_jerk",
    "discus_throw",
    "diving_platform_10m",
    "diving_springboard_3m",
    "hammer_throw",
    "high_jump",
    "javelin_throw",
    "long_jump",
    "pole_vault",
    "shot_put",
    "snatch",
    "tennis_serve",
    "triple_jump",
    "vault",
)
MISSPELT = {"diving_platfrom_10m": "diving_platform_10m"}
"""A folder of the dataset, and what it means."""
ATTRIBUTES = "attributes.npz"


@validated(frozen=True, config={"extra": "forbid"})
class OlympicSportsParams:
    """``root``: the copy. ``frames`` and ``size`` give the form."""

    root: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=112, ge=16)


class OlympicSports(LocalVideos):
    """Athletes in one of sixteen sports; the official split, from the text files that come with the dataset."""

    Params = OlympicSportsParams
    params: OlympicSportsParams
    classes = SPORTS
    name = "olympic_sports"
    home = "http://vision.stanford.edu/Datasets/OlympicSports/"
    tree = "bowling/6fHdmzXVAXo_00050_00120.seq, train_test_split/train/bowling.txt, train_test_split/test/bowling.txt"

    @cached_property
    def attributes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the attributes in ``attributes.npz``; none without it."""
        return self._matrix[0]

    def describe(self, clip: Clip, entry: Entry) -> Mapping[str, Any]:
        names, present = self._matrix
        return {"attributes": [name for name in names if name in present[SPORTS[int(clip.label)]]]} if names else {}

    def find(self, root: Path) -> Listing:
        splits = self._splits(root)
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for path in sorted(root.rglob("*.seq")):
            sport = MISSPELT.get(path.parent.name, path.parent.name)
            name = f"{sport}/{path.stem}"
            if sport not in SPORTS:
                strays[path.relative_to(root).as_posix()] = f"folder {path.parent.name} is none of the sixteen sports"
            elif path.stem not in splits:
                strays[name] = "in no list of training or test videos"
            else:
                clips.append(Clip(name, NorpixSequence(path), SPORTS.index(sport), splits[path.stem]))
        return Listing(tuple(clips), strays)

    def _splits(self, root: Path) -> dict[str, Split]:
        """Splits by video, from the text files in folders, or with names, that say train or test."""
        found: dict[str, Split] = {}
        for path in sorted(root.rglob("*.txt")):
            for part in reversed(path.relative_to(root).with_suffix("").parts):
                named = [split for split in ("train", "test") if split in part.lower()]
                if len(named) == 1:
                    lines = path.read_text(encoding="utf-8").split("\n")
                    found |= {Path(line.split()[0]).stem: named[0] for line in lines if line.strip()}  # type: ignore[misc]
                    break
        if not found:
            raise self.unlike("no text files with the training and the test videos")
        return found

    @cached_property
    def _matrix(self) -> tuple[tuple[str, ...], dict[str, set[str]]]:
        """Names of the attributes, and those present, by sport."""
        path = self.root / ATTRIBUTES
        if not path.is_file():
            return (), {}
        try:
            with np.load(path) as arrays:
                table, sports, names = (arrays[f"arr_{number}"] for number in range(3))
        except (OSError, ValueError, KeyError) as error:
            raise self.unlike(f"no readable {ATTRIBUTES} ({error})") from None
        tidy = tuple(str(name).strip() for name in names)
        present = {
            MISSPELT.get(str(sport), str(sport)): {name for name, there in zip(tidy, row, strict=True) if there}
            for sport, row in zip(sports, table, strict=True)
        }
        if missing := set(SPORTS) - set(present):
            raise self.unlike(f"no {', '.join(sorted(missing))} in {ATTRIBUTES}")
        return tidy, present
