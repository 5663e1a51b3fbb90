"""A dataset whose class is the colour of one square, and a target with features that count colours."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.interfaces import Dataset, Features, FeatureTarget, Sample, Split

CHANNELS = ("red", "green", "blue")
FRAMES, SIDE, SQUARE = 4, 32, 8


class Squares(Dataset):
    """A red or a blue square that moves right, and a static green one; video k has label k % 2."""

    classes = ("red", "blue")
    attributes = ("red", "blue", "green")
    shape = (FRAMES, SIDE, SIDE)
    spec = "squares"

    def size(self, split: Split) -> int:
        return 64

    def sample(self, split: Split, index: int) -> Sample:
        rng = np.random.default_rng([index, split == "test"])
        video = torch.full((FRAMES, 3, SIDE, SIDE), 127 / 255)
        rows = rng.permutation(3)[:2] * 8 + 4
        objects = []
        name = ("red", "blue")[index % 2]
        for colour, row, way in ((name, rows[0], 2), ("green", rows[1], 0)):
            column = int(rng.integers(0, SIDE - SQUARE - 2 * FRAMES))
            boxes = [[column + way * t, int(row), column + way * t + SQUARE, int(row) + SQUARE] for t in range(FRAMES)]
            for t, (left, top, right, bottom) in enumerate(boxes):
                video[t, :, top:bottom, left:right] = torch.eye(3)[CHANNELS.index(colour), :, None, None]
            objects.append({"attributes": [colour], "boxes": boxes})
        return Sample(f"{split}-{index}", video, index % 2, 8.0, {"attributes": [name, "green"], "objects": objects})


class Counting(FeatureTarget):
    """Features are the colours above mid-grey in 8×8 and 4×4 cells, and forty times their means over the frame.

    The logits are proportional to red minus blue.
    """

    classes = ("red", "blue")
    spec = "counting"

    def __init__(self, sure: float = 60.0) -> None:
        super().__init__()
        self.sure = sure

    def features(self, video: Tensor) -> Features:
        colours = F.relu(video.transpose(1, 2) - 0.5)
        context = colours.mean(dim=(3, 4), keepdim=True)
        cells = [F.avg_pool3d(colours, (1, side, side)) for side in (4, 8)]
        scales = tuple(torch.cat([local, 40 * context.expand_as(local)], 1) for local in cells)
        red, _, blue = context.mean(dim=(2, 3, 4)).unbind(1)
        return Features(scales, torch.arange(video.shape[1]), self.sure * torch.stack([red - blue, blue - red], 1))

    def forward(self, video: Tensor) -> Tensor:
        return self.features(video).output

    @property
    def fingerprint(self) -> str:
        return f"counting {self.sure}"
