"""Several videos next to each other in one, each below its label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SMALL, LABEL, GAP = 128, 18, 4
"""Pixels: width up to which videos are enlarged by a whole factor, height of a label, space between videos."""
FONT = 12
WHITE = 255


def abreast(videos: Sequence[tuple[str, Tensor]]) -> Tensor:
    """Labels and uint8 ``[T, 3, H, W]`` videos of one shape, as one uint8 ``[T, 3, H', W']`` video."""
    width = videos[0][1].shape[3]
    scale = max(SMALL // width, 1)
    parts: list[Tensor] = []
    for label, video in videos:
        enlarged = video.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        heading = _heading(label, width * scale).expand(len(video), -1, -1, -1)
        parts += [torch.cat([heading, enlarged], dim=2)]
        parts += [torch.full((*parts[-1].shape[:3], GAP), WHITE, dtype=torch.uint8)]
    return torch.cat(parts[:-1], dim=3)


def _heading(label: str, width: int) -> Tensor:
    """The label in black on white, uint8 ``[1, 3, LABEL, width]``; what is too long is cut."""
    image = Image.new("RGB", (width, LABEL), "white")
    font = ImageFont.load_default(FONT)
    while label and font.getlength(label) > width - 2 * GAP:
        label = label.rstrip("…")[:-1] + "…" if len(label) > 1 else ""
    ImageDraw.Draw(image).text((GAP, 1), label, fill="black", font=font)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def write_gif(path: Path, pixels: Tensor, fps: float) -> None:
    """Write a uint8 ``[T, 3, H, W]`` video as an endless GIF of 256 colours, for slides and web pages.

    A frame of a GIF lasts a whole number of hundredths of a second, and at least two.
    """
    frames = [Image.fromarray(frame) for frame in pixels.permute(0, 2, 3, 1).contiguous().numpy()]
    palette = Image.fromarray(pixels.permute(0, 2, 3, 1).reshape(-1, pixels.shape[3], 3).numpy()).quantize(256)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = max(round(100 / fps), 2) * 10
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=duration, loop=0, optimize=False)
