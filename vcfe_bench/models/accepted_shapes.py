"""What input a network may want, when it fails on the one it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

LENGTHS, SIDES = (8, 16, 32, 64), (112, 224)
SHOWN = 3


def accepted(network: Callable[[Tensor], Any], clip: Tensor) -> str:
    """Input shapes near that of ``clip [B, C, T, H, W]`` on which ``network`` runs, as a sentence; else of its layers.

    Tried are other orders of axes, frames as a batch, an axis of segments, and common numbers of frames and pixels.
    """
    found = list(islice(_working(network, clip[:1]), SHOWN))
    if found:
        return f"it may want {' or '.join(found)}"
    first = next((layer for layer in _layers(network) if isinstance(layer, nn.Conv3d | nn.Conv2d | nn.Linear)), None)
    if first is None:
        return "no other common shape works either"
    channels = first.in_features if isinstance(first, nn.Linear) else first.in_channels
    return f"no other common shape works either; its first layer is a {type(first).__name__} for {channels} channels"


def _layers(network: Any) -> Iterator[nn.Module]:
    return iter(network.modules() if isinstance(network, nn.Module) else ())


def _working(network: Callable[[Tensor], Any], clip: Tensor) -> Iterator[str]:
    layouts = {
        "[B, T, C, H, W]": clip.transpose(1, 2),
        "[B, segments, C, T, H, W]": clip[:, None],
        "[B, C, H, W], one frame at a time": clip.transpose(1, 2).flatten(0, 1),
    }
    for name, trial in layouts.items():
        if _runs(network, trial):
            yield f"{name}: {list(trial.shape)}"
    _, channels, length, height, _ = clip.shape
    for frames in dict.fromkeys((length, *LENGTHS)):
        for side in dict.fromkeys((height, *SIDES)):
            if (frames, side) != (length, height):
                trial = clip.new_zeros(1, channels, frames, side, side)
                if _runs(network, trial):
                    yield f"{frames} frames of {side} x {side} pixels (--clip {frames}x{side})"


@torch.no_grad()
def _runs(network: Callable[[Tensor], Any], trial: Tensor) -> bool:
    try:
        network(trial)
    except Exception:
        return False
    return True
