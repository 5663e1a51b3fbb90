"""Olympic Sports: sixteen sports from YouTube (Niebles et al., ECCV 2010), used for counterfactual tubes.

The classifier of Kanehira et al. (CVPR 2019) takes 16 frames of 112×112 pixels. The paper does not state which frames
are taken; here they are spread over the video. Its attributes and boxes are not public. If the copy has the class
attributes of Liu et al. (CVPR 2011) in ``attributes.npz``, they are the dataset's attributes; they have no boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.text_files import read_text
from vcfe_bench.interfaces import Split
from vcfe_bench.plugins.terms import SPLITS
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
"""A folder name that is misspelt in the dataset, and the correct class name."""
ATTRIBUTES = "attributes.npz"


@validated(frozen=True, config={"extra": "forbid"})
class OlympicSportsParams:
    """``root``: path of the local copy. ``frames`` and ``size`` set the clip format."""

    root: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=112, ge=16)


class OlympicSports(LocalVideos):
    """Athletes in one of sixteen sports; the official split, from the text files of the dataset.

    The validation split has all training clips of one in ten of the YouTube videos that they were cut from.
    """

    Params = OlympicSportsParams
    params: OlympicSportsParams
    classes = SPORTS
    name = "olympic_sports"
    home = "http://vision.stanford.edu/Datasets/OlympicSports/"
    tree = "bowling/6fHdmzXVAXo_00050_00120.seq, train_test_split/train/bowling.txt, train_test_split/test/bowling.txt"

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes in ``attributes.npz``; empty if the copy does not have this file."""
        return self._class_attributes[0]

    def describe(self, clip: Clip, entry: Entry) -> Mapping[str, Any]:
        names, present = self._class_attributes
        return {"attributes": [name for name in names if name in present[SPORTS[int(clip.label)]]]} if names else {}

    def find(self, root: Path) -> Listing:
        splits = self._splits(root)
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for path in sorted(root.rglob("*.seq")):
            sport = MISSPELT.get(path.parent.name, path.parent.name)
            name = f"{sport}/{path.stem}"
            if sport not in SPORTS:
                strays[path.relative_to(root).as_posix()] = (
                    f"folder {path.parent.name} is not one of the sixteen sports"
                )
            elif path.stem not in splits:
                strays[name] = "not in a list of training or test videos"
            else:
                source = path.stem.rsplit("_", 2)[0]
                clips.append(Clip(name, NorpixSequence(path), SPORTS.index(sport), splits[path.stem], group=source))
        return Listing(tuple(clips), strays)

    def _splits(self, root: Path) -> dict[str, Split]:
        """Splits by video, from all text files whose name or folder contains the name of a split."""
        splits: dict[str, Split] = {}
        for path in sorted(root.rglob("*.txt")):
            for part in reversed(path.relative_to(root).with_suffix("").parts):
                named = [split for split in SPLITS if split in part.lower()]
                if len(named) == 1:
                    lines = read_text(path).split("\n")
                    splits |= {Path(line.split()[0]).stem: named[0] for line in lines if line.strip()}
                    break
        if not splits:
            raise self.unlike("no text files that list the training and the test videos")
        return splits

    @cached_property
    def _class_attributes(self) -> tuple[tuple[str, ...], dict[str, set[str]]]:
        """Names of all attributes, and those of each sport."""
        path = self.root / ATTRIBUTES
        if not path.is_file():
            return (), {}
        try:
            with np.load(path) as arrays:
                table, sports, names = (arrays[f"arr_{number}"] for number in range(3))
        except (OSError, ValueError, KeyError) as error:
            raise self.unlike(f"no readable {ATTRIBUTES} ({error})") from None
        stripped = tuple(str(name).strip() for name in names)
        present = {
            MISSPELT.get(str(sport), str(sport)): {name for name, there in zip(stripped, row, strict=True) if there}
            for sport, row in zip(sports, table, strict=True)
        }
        if missing := set(SPORTS) - set(present):
            raise self.unlike(f"no {', '.join(sorted(missing))} in {ATTRIBUTES}")
        return stripped, present
