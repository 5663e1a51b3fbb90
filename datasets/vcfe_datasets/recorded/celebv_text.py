"""CelebV-Text: 70,000 clips of faces with text descriptions (Yu et al., CVPR 2023).

The BTTF paper (arXiv 2511.20295) fine-tunes its generator for MEAD on this dataset. The clip format is therefore that
of MEAD: 33 frames of 512×512 pixels at 8 fps.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.text_files import read_text
from vcfe_bench.interfaces import Split
from vcfe_bench.video.files import VideoFile
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, draw

TEXTS = ("action_dur", "emotion", "face40_details", "light_color_temp", "light_dir", "light_intensity")
"""Folders of the text descriptions, by topic."""


@validated(frozen=True, config={"extra": "forbid"})
class CelebVTextParams:
    """``root``: path of the local copy. ``frames`` (at 8 fps) and ``size`` set the clip format."""

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=512, ge=16)


class CelebVText(LocalVideos):
    """Faces for fine-tuning a generator; there are no labels, so it cannot be used to explain a target.

    There is no official split: the clips of one in twenty YouTube videos form the test split. One
    in ten of the other YouTube videos are for validation.
    """

    Params = CelebVTextParams
    params: CelebVTextParams
    name = "celebv_text"
    home = "https://celebv-text.github.io/"
    tree = "videos/celebvtext_6/88e6FikYYGc_8_0.mp4, descriptions/emotion/88e6FikYYGc_8_0.txt"

    def preparation(self) -> Preparation:
        return Preparation(self.params.frames, self.params.size, fps=8.0)

    def find(self, root: Path) -> Listing:
        texts = _texts(root)
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for path in sorted(root.rglob("*.mp4")):
            name, *numbers = path.stem.rsplit("_", 2)
            if len(numbers) != 2 or not "".join(numbers).isdigit():
                strays[path.relative_to(root).as_posix()] = "its name is not <YouTube id>_<number>_<number>.mp4"
                continue
            attributes = {"youtube": name, "texts": texts.get(path.stem, {})}
            split: Split = "test" if draw(name, 20) == 19 else "train"
            clips.append(Clip(path.stem, VideoFile(path), 0, split, attributes, name))
        return Listing(tuple(clips), strays)


def _texts(root: Path) -> dict[str, dict[str, list[str]]]:
    """Text descriptions, as lists of lines, by clip and by topic."""
    texts: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for kind in TEXTS:
        for path in root.rglob(f"{kind}/*.txt"):
            texts[path.stem][kind] = read_text(path).split("\n")
    return texts
