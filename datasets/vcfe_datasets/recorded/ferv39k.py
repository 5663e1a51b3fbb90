"""FERV39k: facial expressions in film scenes (Wang et al., CVPR 2022), cropped to the face by the authors.

Used by LD-ViCE (arXiv 2509.08422), whose clip format is not known to us. Here a clip has 16 frames of 224×224 pixels,
spread over the video.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Split
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import PictureFolder
from vcfe_bench.video.timeline import Source
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos

EXPRESSIONS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
RATE = 25.0
"""Frame rate of clips that are stored as folders of pictures, which do not specify it."""
VIDEOS = "2_ClipsforFaceCrop"
LISTS: dict[Split, str] = {
    "train": "4_setups/All_scenes/train_All.csv",
    "test": "4_setups/All_scenes/test_All.csv",
}


@validated(frozen=True, config={"extra": "forbid"})
class FERV39kParams:
    """``root``: path of the local copy. ``frames`` and ``size`` set the clip format."""

    root: str = ""
    frames: int = Field(default=16, ge=2)
    size: int = Field(default=224, ge=16)


class FERV39k(LocalVideos):
    """Faces in films with one of seven expressions; the official split over all scenes.

    One in ten of the training clips is for validation; the people are not known.
    """

    Params = FERV39kParams
    params: FERV39kParams
    classes = EXPRESSIONS
    name = "ferv39k"
    transfer_targets = ("fer_faces[labels=ferv39k]",)
    home = "https://wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html"
    tree = f"{VIDEOS}/Action/Happy/0267/ (pictures, or a video file), {LISTS['train']}, {LISTS['test']}"

    def find(self, root: Path) -> Listing:
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for split, file in LISTS.items():
            rows = self.table(root / file, sep=r"\s+", header=None, names=["path", "label"]).dropna()
            for name, expression in zip(rows["path"], rows["label"], strict=True):
                label = _label(expression)
                if label is None:
                    strays[name] = f"'{expression}' in {Path(file).name} is not one of the seven expressions"
                else:
                    clips.append(Clip(name, _source(root / VIDEOS / name), label, split, {"scene": name.split("/")[0]}))
        return Listing(tuple(clips), strays)


def _label(expression: str) -> int | None:
    """Class index of an expression that is given by name or index; None if it is unknown."""
    if expression.isdigit():
        return int(expression) if int(expression) < len(EXPRESSIONS) else None
    return EXPRESSIONS.index(expression) if expression in EXPRESSIONS else None


def _source(path: Path) -> Source:
    """The folder of pictures at ``path``, or else the video file of that name."""
    if path.is_dir():
        return PictureFolder(path, RATE)
    files = [file for suffix in (".mp4", ".avi") if (file := path.with_name(path.name + suffix)).is_file()]
    return VideoFile(files[0] if files else path)
