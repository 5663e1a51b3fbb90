"""Videos for a browser: all frames in one PNG, which browsers show losslessly and without a video codec."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vcfe_bench.figures.abreast import abreast, write_gif
from vcfe_bench.figures.side_by_side import write_mp4
from vcfe_bench.runs.run_directory import RunDirectory

FOLDER = "media"
CLIPS = 100
"""Rows with an MP4 and a GIF to download. They take longer to write than all else."""


@dataclass(frozen=True)
class Sheet:
    """All frames of a video in one image, row by row from the top left.

    ``file`` is relative to the report; ``width`` and ``height`` are those of one frame, in pixels.
    """

    file: str
    columns: int
    frames: int
    width: int
    height: int


class Media:
    """The sheets of a report, under ``media/``. They are named by content, so each video is written once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sheets: dict[str, Sheet] = {}
        self._written = 0

    def sheet(self, store: RunDirectory, video: str, sha256: str) -> Sheet:
        """The sheet of a stored video, written when it is first requested.

        Raises:
            UsageError: the video is missing or damaged.
        """
        if sha256 not in self._sheets:
            pixels = store.video(video, sha256)
            file = f"{FOLDER}/{sha256[:20]}.png"
            (self.root / FOLDER).mkdir(parents=True, exist_ok=True)
            image = tile(pixels)
            Image.fromarray(image).save(self.root / file)
            frames, _, height, width = pixels.shape
            self._sheets[sha256] = Sheet(file, image.shape[1] // width, frames, width, height)
        return self._sheets[sha256]

    def clips(self, name: str, videos: Sequence[tuple[str, Sheet]], fps: float) -> Mapping[str, str]:
        """Videos with their labels next to each other, as MP4 and as GIF, by format; none after ``CLIPS`` of them."""
        if self._written == CLIPS or len({video.frames for _, video in videos}) > 1:
            return {}
        self._written += 1
        pixels = abreast([(label, self.pixels(video)) for label, video in videos])
        files = {kind: f"{FOLDER}/{name}.{kind}" for kind in ("mp4", "gif")}
        write_mp4(self.root / files["mp4"], pixels, fps)
        write_gif(self.root / files["gif"], pixels, fps)
        return files

    def pixels(self, sheet: Sheet) -> Tensor:
        """The uint8 ``[T, 3, H, W]`` video of a sheet."""
        image = np.asarray(Image.open(self.root / sheet.file))
        grid = image.reshape(-1, sheet.height, sheet.columns, sheet.width, 3).transpose(0, 2, 4, 1, 3)
        frames = grid.reshape(-1, 3, sheet.height, sheet.width)[: sheet.frames]
        return torch.from_numpy(np.ascontiguousarray(frames))


def tile(pixels: Tensor) -> np.ndarray:
    """The frames of a uint8 ``[T, 3, H, W]`` video as one image ``[rows H, columns W, 3]`` that is nearly square.

    Cells after the last frame are black.
    """
    frames, _, height, width = pixels.shape
    columns = math.ceil(math.sqrt(frames * height / width))
    rows = math.ceil(frames / columns)
    padded = np.zeros((rows * columns, 3, height, width), np.uint8)
    padded[:frames] = pixels.numpy()
    grid = padded.reshape(rows, columns, 3, height, width)
    return grid.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
