"""NTU RGB+D 60: sixty actions of one or two people (Shahroudy et al., CVPR 2016), as the BTTF paper uses it.

The paper (arXiv 2511.20295, table S2) gives its classifier 448×448 pixels; its appendix C says 512, in passing. Every
video is brought to 33 frames at 8 fps. It does not name its split: the default is the official one that keeps people
apart.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.video.decoding import VideoFile
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos

ACTIONS = (
    "drink water",
    "eat meal/snack",
    "brushing teeth",
    "brushing hair",
    "drop",
    "pickup",
    "throw",
    "sitting down",
    "standing up (from sitting position)",
    "clapping",
    "reading",
    "writing",
    "tear up paper",
    "wear jacket",
    "take off jacket",
    "wear a shoe",
    "take off a shoe",
    "wear on glasses",
    "take off glasses",
    "put on a hat/cap",
    "take off a hat/cap",
    "cheer up",
    "hand waving",
    "kicking something",
    "reach into pocket",
    "hopping (one foot jumping)",
    "jump up",
    "make a phone call/answer phone",
    "playing with phone/tablet",
    "typing on a keyboard",
    "pointing to something with finger",
    "taking a selfie",
    "check time (from watch)",
    "rub two hands together",
    "nod head/bow",
    "shake head",
    "wipe face",
    "salute",
    "put the palms together",
    "cross hands in front (say stop)",
    "sneeze/cough",
    "staggering",
    "falling",
    "touch head (headache)",
    "touch chest (stomachache/heart pain)",
    "touch back (backache)",
    "touch neck (neckache)",
    "nausea or vomiting condition",
    "use a fan (with hand or paper)/feeling warm",
    "punching/slapping other person",
    "kicking other person",
    "pushing other person",
    "pat on back of other person",
    "point finger at the other person",
    "hugging other person",
    "giving something to other person",
    "touch other person's pocket",
    "handshaking",
    "walking towards each other",
    "walking apart from each other",
)
"""Class names of actions A1 to A60."""
TRAINING_PEOPLE = frozenset({1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38})
"""The training performers of the official cross-subject split."""
TEST_CAMERA = 1
"""The test camera of the official cross-view split."""
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})_rgb\.avi")


@validated(frozen=True, config={"extra": "forbid"})
class NTURGBDParams:
    """``root``: the copy. ``frames`` (at 8 fps) and ``size`` give the form, ``split`` the official split."""

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=448, ge=16)
    split: Literal["cross_subject", "cross_view"] = "cross_subject"


class NTURGBD(LocalVideos):
    """Sixty everyday actions, colour videos only; split by person (default) or by camera, both official."""

    Params = NTURGBDParams
    params: NTURGBDParams
    classes = ACTIONS
    name = "ntu_rgbd"
    home = "https://rose1.ntu.edu.sg/dataset/actionRecognition/"
    tree = "nturgb+d_rgb/S001C001P001R001A001_rgb.avi"

    def preparation(self) -> Preparation:
        return Preparation(self.params.frames, self.params.size, fps=8.0)

    def find(self, root: Path) -> Listing:
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        for path in sorted(root.rglob("*.avi")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                strays[path.relative_to(root).as_posix()] = "not called SsssCcccPpppRrrrAaaa_rgb.avi"
                continue
            setup, camera, person, replication, action = map(int, match.groups())
            if not 1 <= action <= len(ACTIONS):
                strays[path.relative_to(root).as_posix()] = f"action {action} is none of the sixty"
                continue
            by_person = self.params.split == "cross_subject"
            training = person in TRAINING_PEOPLE if by_person else camera != TEST_CAMERA
            known = {"setup": setup, "camera": camera, "person": person, "replication": replication}
            id = path.name.removesuffix("_rgb.avi")
            clips.append(Clip(id, VideoFile(path), action - 1, "train" if training else "test", known))
        return Listing(tuple(clips), strays)
