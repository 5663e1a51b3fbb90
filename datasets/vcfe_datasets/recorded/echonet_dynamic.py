"""EchoNet-Dynamic: echocardiograms with the ejection fraction (Ouyang et al., Nature 2020).

As in the authors' code, a clip consists of 32 frames, every second one from the first, at the original size of 112×112
pixels. A video that is too short is extended by repeating its last frame; the authors add frames of the mean colour
after normalisation, which an 8-bit video cannot represent.

``protocol`` selects the settings of EchoDiffusion (Reynaud et al., MICCAI 2023), with which LD-ViCE (arXiv 2509.08422)
compares itself: 16 frames at 8 fps, the validation part of the official split, and goals from 15 to 85 %; ``--goals
uniform`` draws them as there. EchoDiffusion's published row is the best of three samples for each video (R² 0.640, MAE
9.65, RMSE 12.19); over all samples it is R² 0.417, MAE 12.84, RMSE 15.52. Compare a method with one draw with the
latter.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.interfaces import Split, Values
from vcfe_bench.video.files import VideoFile
from vcfe_datasets.recorded.clip_cache import Preparation
from vcfe_datasets.recorded.local_videos import Clip, Listing, LocalVideos

PROTOCOL = Values(low=15.0, high=85.0, change=15.0, tolerance=5.0, unit="% ejection fraction")
"""Goals of EchoDiffusion."""
COLUMNS = frozenset({"FileName", "EF", "ESV", "EDV", "Split"})


@validated(frozen=True, config={"extra": "forbid"})
class EchoNetDynamicParams:
    """``root``: path of the local copy. ``frames``, ``step`` (every how many frames) and ``size`` set the clip format.

    ``held_out``: the official part that is used as test split. ``protocol``: ``echodiffusion`` sets ``frames``, the
    frame rate and ``held_out``, and the range of goals.
    """

    root: str = ""
    frames: int = Field(default=32, ge=2)
    size: int = Field(default=112, ge=16)
    step: int = Field(default=2, ge=1)
    held_out: Literal["TEST", "VAL"] = "TEST"
    protocol: Literal["", "echodiffusion"] = ""


class EchoNetDynamic(LocalVideos):
    """Apical four-chamber echocardiograms; regression of the left ventricle's ejection fraction, in percent.

    The split is the official one, TRAIN, VAL and TEST. ``held_out=VAL`` uses VAL as test split, and then one in ten
    videos of TRAIN is for validation.
    """

    Params = EchoNetDynamicParams
    params: EchoNetDynamicParams
    values = Values(low=10.0, high=80.0, change=15.0, tolerance=5.0, unit="% ejection fraction")
    name = "echonet_dynamic"
    home = "https://echonet.github.io/dynamic/"
    tree = "FileList.csv, VolumeTracings.csv, Videos/0X1A0A263B22CCD966.avi"

    def __init__(self, params: EchoNetDynamicParams | None = None) -> None:
        params = params or EchoNetDynamicParams()
        if params.protocol:
            params = replace(params, frames=16, held_out="VAL")
            self.values = PROTOCOL
        super().__init__(params)

    def preparation(self) -> Preparation:
        if self.params.protocol:
            return Preparation(self.params.frames, self.params.size, fps=8.0)
        return Preparation(self.params.frames, self.params.size, step=self.params.step)

    def find(self, root: Path) -> Listing:
        table = self.table(root / "FileList.csv")
        if missing := COLUMNS - set(table.columns):
            raise self.unlike(f"no column {', '.join(sorted(missing))} of FileList.csv")
        splits: dict[str, Split] = {"TRAIN": "train", self.params.held_out: "test"}
        if self.params.held_out == "TEST":
            splits["VAL"] = "validation"
        clips: list[Clip] = []
        strays: dict[str, str] = {}
        numbers = table[["EF", "ESV", "EDV"]].apply(pd.to_numeric, errors="coerce").to_numpy().tolist()
        names = table["FileName"].str.removesuffix(".avi")
        for name, part, (value, esv, edv) in zip(names, table["Split"].str.upper(), numbers, strict=True):
            if math.isnan(value):
                strays[name] = "no ejection fraction in FileList.csv"
            elif part in splits:
                video = VideoFile(root / "Videos" / f"{name}.avi")
                clips.append(Clip(name, video, value, splits[part], {"esv": esv, "edv": edv}))
            elif part not in ("VAL", "TEST"):
                strays[name] = f"split '{part}' in FileList.csv is not one of TRAIN, VAL, TEST"
        listed = set(names)
        for path in (root / "Videos").glob("*.avi"):
            if path.stem not in listed:
                strays[path.stem] = "not in FileList.csv"
        return Listing(tuple(clips), strays)
