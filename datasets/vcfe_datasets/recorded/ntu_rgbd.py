"""NTU RGB+D 60: sixty actions of one or two people (Shahroudy et al., CVPR 2016), prepared as in the BTTF paper.

According to table S2 of the paper (arXiv 2511.20295), the input of its classifier has 448×448 pixels; appendix C
mentions 512. Every video is converted to 33 frames at 8 fps. The paper does not state its split of this dataset; the
default is the official cross-subject split. ``split=random`` divides the videos 4:1 by a hash of their names, as the
paper does for MEAD; every person then occurs in both parts.
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
"""Subjects in the training part of the official cross-subject split."""
TEST_CAMERA = 1
"""Camera of the test part of the official cross-view split."""
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})_rgb\.avi")


@validated(frozen=True, config={"extra": "forbid"})
class NTURGBDParams:
    """``root``: path of the local copy. ``frames`` (at 8 fps) and ``size`` set the clip format.

    ``split``: one of the two official splits, or at random (4:1).
    """

    root: str = ""
    frames: int = Field(default=33, ge=2)
    size: int = Field(default=448, ge=16)
    split: Literal["cross_subject", "cross_view", "random"] = "cross_subject"


class NTURGBD(LocalVideos):
    """Sixty everyday actions, colour videos only; split by person (default), by camera (both official) or at random.

    The validation split has all training videos of one in ten people; of a random split, one in ten training videos.
    """

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
                strays[path.relative_to(root).as_posix()] = "its name is not SsssCcccPpppRrrrAaaa_rgb.avi"
                continue
            setup, camera, person, replication, action = map(int, match.groups())
            if not 1 <= action <= len(ACTIONS):
                strays[path.relative_to(root).as_posix()] = f"action {action} is not one of the sixty"
                continue
            id = path.name.removesuffix("_rgb.avi")
            training = {
                "cross_subject": person in TRAINING_PEOPLE,
                "cross_view": camera != TEST_CAMERA,
                "random": draw(id, 5) != 4,
            }[self.params.split]
            attributes = {"setup": setup, "camera": camera, "person": person, "replication": replication}
            split: Split = "train" if training else "test"
            group = "" if self.params.split == "random" else f"person {person}"
            clips.append(Clip(id, VideoFile(path), action - 1, split, attributes, group))
        return Listing(tuple(clips), strays)
