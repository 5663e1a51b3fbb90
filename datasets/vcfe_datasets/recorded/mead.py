"""MEAD: actors speaking sentences with an emotion (Wang et al., ECCV 2020), prepared as in the BTTF paper.

The paper (arXiv 2511.20295, appendix C) scales the height to 512 pixels, crops the centre, converts every video to 33
frames at 8 fps, and uses a random 4:1 split, which is not published. ``split=random`` assigns each video by a hash of
its name, with the same ratio. In a random split, every actor occurs in both parts; ``split=people`` separates the
actors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Split
from vcfe_bench.video.files import VideoFile
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos, draw

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
View = Literal["front", "down", "top", "left_30", "left_60", "right_30", "right_60"]
_PATH = re.compile(
    r"(?:.*/)?(?P<actor>[MW]\d{3})(?:_video)?/(?:video/)?"
    rf"(?P<view>[a-z]+(?:_\d0)?)/(?P<emotion>{'|'.join(EMOTIONS)})[/_]level_(?P<level>[123])/(?P<take>\d{{3}})\.mp4"
)


@validated(frozen=True, config={"extra": "forbid"})
class MEADParams:
    """``root``: path of the local copy. ``frames`` (at 8 fps) and ``size`` set the clip format.

    ``view``: the camera. ``split``: at random, or by actor.
    """

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=512, ge=16)
    view: View = "front"
    split: Literal["random", "people"] = "random"


class MEAD(LocalVideos):
    """Talking faces with one of eight emotions, at intensity levels 1 to 3, from one camera.

    The split is random (4:1) or by actor: the test split has the actors whose number ends in 4 or 9. The validation
    split has all training clips of one in ten actors.
    """

    Params = MEADParams
    params: MEADParams
    classes = EMOTIONS
    name = "mead"
    transfer_targets = ("fer_faces[labels=mead,crop=0.6]",)
    home = "https://wywu.github.io/projects/MEAD/MEAD.html"
    tree = "M003/video/front/angry/level_1/001.mp4"

    def preparation(self) -> Preparation:
        return Preparation(self.params.frames, self.params.size, fps=8.0)

    def find(self, root: Path) -> Listing:
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for path in sorted(root.rglob("*.mp4")):
            name = path.relative_to(root).as_posix()
            match = _PATH.fullmatch(f"{root.name}/{name}")
            if match is None:
                strays[name] = "its path does not contain actor, view, emotion, level and number"
            elif match["view"] == self.params.view:
                id = "-".join(match.group("actor", "view", "emotion", "level", "take"))
                attributes = {"actor": match["actor"], "view": match["view"], "level": int(match["level"])}
                label = EMOTIONS.index(match["emotion"])
                split = self._split(match["actor"], id)
                clips.append(Clip(id, VideoFile(path), label, split, attributes, match["actor"]))
        return Listing(tuple(clips), strays)

    def _split(self, actor: str, id: str) -> Split:
        part = draw(id, 5) if self.params.split == "random" else int(actor[1:]) % 5
        return "test" if part == 4 else "train"
