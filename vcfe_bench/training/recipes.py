"""Published training recipes of targets, by name.

Table S2 of the BTTF paper (arXiv 2511.20295) gives the clip and the epochs of its three targets: Video Swins that are
initialised with ImageNet-1K weights and read every second frame. It gives neither size nor optimiser. Both are taken
from Video Swin itself (arXiv 2106.13230, section 4.1, Kinetics-400): the smallest of its networks, batches of 64 clips,
AdamW at 3e-4 for the head and a tenth of it for the rest, weight decay 0.02. The loop adds a warm-up over 100 updates,
a cosine schedule, gradient clipping and a moving average of the weights.

The height and width of a clip are those of the dataset's videos, e.g. ``shape_moving[frames=65,size=224]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.training.target import EMBEDDED, TargetRecipe


@dataclass(frozen=True)
class Published:
    """A recipe, the dataset it is for, and its source."""

    recipe: TargetRecipe
    dataset: str
    source: str


VIDEO_SWIN = TargetRecipe(size="swin3d_t", length=32, stride=2, epochs=30, batch=64, lr=3e-4, imagenet=True)

RECIPES: Mapping[str, Published] = {
    "embedded": Published(EMBEDDED, "shape_moving", "the network that ships with the package"),
    "m_swin": Published(replace(VIDEO_SWIN, epochs=1), "shape_moving[frames=65,size=224]", "BTTF, table S2"),
    "e_swin": Published(replace(VIDEO_SWIN, length=16, epochs=15), "mead", "BTTF, table S2"),
    "a_swin_r": Published(
        replace(VIDEO_SWIN, length=16, adversary="pgd[random_start=true,size=absolute,steps=3]"),
        "ntu_rgbd",
        "BTTF, table S2; the attack for robust training is not specified: that of table 1 with three steps",
    ),
    "echo_swin": Published(
        replace(VIDEO_SWIN, stride=1, epochs=45, batch=20),
        "echonet_dynamic",
        "Ouyang et al., Nature 2020: 32 frames, of which the dataset takes every second, 45 epochs, batches of 20",
    ),
    "video_swin": Published(
        replace(VIDEO_SWIN, length=16, stride=1),
        "ferv39k, something_something_v2, ucf101_24, olympic_sports",
        "Video Swin, section 4.1, for the clips of 16 frames of these datasets",
    ),
}


def choose(name: str, **changes: Any) -> TargetRecipe:
    """The recipe called ``name`` with ``changes`` to its fields; ``steps`` replace its epochs.

    Raises:
        UsageError: no recipe has this name, or a value is invalid.
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe '{name}'; {nearest(name, RECIPES)}")
    if {"steps", "epochs"} <= changes.keys():
        raise UsageError("--steps and --epochs both set the length of training: give only one")
    if "steps" in changes:
        changes["epochs"] = None
    try:
        return replace(RECIPES[name].recipe, **changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from None
