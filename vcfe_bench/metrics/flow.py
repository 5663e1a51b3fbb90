"""Optical flow: does each frame follow from the previous one by moving its content?"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

REACH = 4
"""Longest displacement along an axis, in pixels per frame: a sixteenth of the embedded frame's side."""
BLOCK = 7
"""Side of the square blocks that are matched."""
PAIRS = 16
"""Pairs of frames per batch, few enough to stay in a core's cache."""
MAX_RETURN_ERROR = 1.0
"""A pixel counts as occluded where following the flow there and back ends more than this many pixels from its start."""


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Displacements (across, down) in pixels, ``[N, 2, H, W]``, from frames ``first [N, 3, H, W]`` to ``second``.

    Block matching: of all integer displacements, the one with the smallest squared difference between the blocks around
    both positions, and the shortest of those that tie; then the vertex of the parabola through it and its neighbours
    along each axis, where that is better still.
    """
    height, width = first.shape[2:]
    side = 2 * REACH + 1
    padded = F.pad(second, [REACH] * 4, mode="replicate")
    down, across = torch.cartesian_prod(*[torch.arange(side, device=first.device) - REACH] * 2).T
    costs = first.new_empty(side**2, len(first), height, width)
    least, best = torch.full_like(costs[0], math.inf), torch.zeros_like(costs[0], dtype=torch.long)
    for index in (down**2 + across**2).argsort(stable=True).tolist():
        y, x = divmod(index, side)
        costs[index] = _block_error(padded[:, :, y : y + height, x : x + width], first)
        best.masked_fill_(costs[index] < least, index)
        torch.minimum(least, costs[index], out=least)
    integer = torch.stack([across[best], down[best]], dim=1).float()
    fractions = []
    for axis, stride in enumerate((1, side)):
        step = torch.where(integer[:, axis].abs() < REACH, stride, 0)
        ahead, behind = (costs.gather(0, (best + sign * step)[None])[0] for sign in (1, -1))
        curvature = ahead - 2 * least + behind
        fractions.append(
            torch.where(curvature > 0, (behind - ahead) / (2 * curvature).clamp(min=1e-12), 0.0).clamp(-0.5, 0.5)
        )
    refined = integer + torch.stack(fractions, dim=1)
    return torch.where((_block_error(warped(second, refined), first) < least)[:, None], refined, integer)


def _block_error(moved: Tensor, first: Tensor) -> Tensor:
    """Squared difference of ``moved [N, 3, H, W]`` from ``first``, summed over the block around each pixel.

    Returns ``[N, H, W]``. Adding slices one by one is several times faster on a CPU than pooling.
    """
    height, width = first.shape[2:]
    difference = moved - first
    padded = F.pad((difference * difference).sum(dim=1), [BLOCK // 2] * 4, mode="replicate")
    columns = sum((padded[:, y : y + height] for y in range(1, BLOCK)), padded[:, :height])
    return sum((columns[:, :, x : x + width] for x in range(1, BLOCK)), columns[:, :, :width])


def warped(images: Tensor, displacement: Tensor) -> Tensor:
    """``images [N, C, H, W]`` sampled bilinearly at each pixel's position plus its displacement ``[N, 2, H, W]``."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    positions = torch.stack([x, y]).to(images) + displacement
    extent = torch.tensor([width, height]).to(images).view(2, 1, 1)
    grid = ((2 * positions + 1) / extent - 1).movedim(1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def visible(forth: Tensor, back: Tensor) -> Tensor:
    """Pixels that are visible in the other frame too, according to the flow forth and back, bool ``[N, H, W]``."""
    return (forth + warped(back, forth)).norm(dim=1) <= MAX_RETURN_ERROR


@torch.no_grad()
def warping_error(footage: Footage) -> float:
    """Mean squared difference between a frame and the next one warped back along the flow, where both show the content.

    The mean is taken over visible pixels and channels of a pair of frames, then over pairs; the unit is the squared
    8-bit range.
    """
    video = footage.video.float()
    errors = []
    for first in range(0, len(video) - 1, PAIRS):
        frames = video[first : first + PAIRS + 1]
        now, after = frames[:-1], frames[1:]
        forth = flow(now, after)
        unoccluded = visible(forth, flow(after, now))
        error = (warped(after, forth) - now).double().square().mean(dim=1)
        errors += [float(e[mask].mean()) for e, mask in zip(error, unoccluded, strict=True) if mask.any()]
    return sum(errors) / len(errors) if errors else math.nan


class WarpingError(SampleMetric):
    """Flow warping error of the counterfactual minus that of its original."""

    card = Card(
        name="warping_error",
        question="How much more than in the original does a frame differ from the next one warped back along the flow?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="squared fraction of the 8-bit range, above the original's",
        range=(-1.0, 1.0),
        source="Lai et al., ECCV 2018, arXiv 1808.00449, section 4.2; flow of the video itself by block matching "
        f"(blocks of {BLOCK} pixels, up to {REACH} pixels per frame), forth and back to detect occlusions",
        failure_modes="Insensitive to motion that is wrong but smooth, and to an object that fades: a static video "
        f"has no error. A blurred video has less than its original. Motion faster than {REACH} pixels per frame "
        "counts as error. Compare with the row of true_edit.",
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        return "a video of one frame has no flow" if dataset.shape[0] < 2 else None

    def score(self, case: Case) -> float:
        if video_pair(case) is None:
            return math.nan
        return case.edited.shared(warping_error) - case.original.shared(warping_error)
