"""Videos for a browser: all frames in one PNG, which browsers show losslessly and without a video codec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vcfe_bench.runs.run_directory import RunDirectory

FOLDER = "media"


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
