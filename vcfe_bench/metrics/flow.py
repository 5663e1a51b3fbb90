"""Flow: does each frame follow from the one before by moving what is there?"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, Footage, SampleMetric

REACH = 4
"""Longest displacement along an axis, in pixels a frame: a sixteenth of the embedded frame's side."""
BLOCK = 7
"""Side of the square whose pixels are compared."""
PAIRS = 16
"""Pairs of frames at once, few enough to stay in a core's cache."""
RETURN = 1.0
"""A pixel is hidden in the other frame where the way there and back ends more than so many pixels from its start."""


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Displacements (across, down) in pixels, ``[N, 2, H, W]``, from frames ``first [N, 3, H, W]`` to ``second``.

    Block matching: of all whole displacements, the one with the least squared difference of the blocks around both
    places, of equals the shortest; then the vertex of the parabola through it and its neighbours, along each axis,
    where that is still better.
    """
    height, width = first.shape[2:]
    side = 2 * REACH + 1
    wide = F.pad(second, [REACH] * 4, mode="replicate")
    down, across = torch.cartesian_prod(*[torch.arange(side, device=first.device) - REACH] * 2).T
    costs = first.new_empty(side**2, len(first), height, width)
    least, best = torch.full_like(costs[0], math.inf), torch.zeros_like(costs[0], dtype=torch.long)
    for place in (down**2 + across**2).argsort(stable=True).tolist():
        y, x = divmod(place, side)
        costs[place] = _over_blocks(wide[:, :, y : y + height, x : x + width], first)
        best.masked_fill_(costs[place] < least, place)
        torch.minimum(least, costs[place], out=least)
    whole = torch.stack([across[best], down[best]], dim=1).float()
    parts = []
    for axis, stride in enumerate((1, side)):
        step = torch.where(whole[:, axis].abs() < REACH, stride, 0)
        ahead, behind = (costs.gather(0, (best + sign * step)[None])[0] for sign in (1, -1))
        bend = ahead - 2 * least + behind
        parts.append(torch.where(bend > 0, (behind - ahead) / (2 * bend).clamp(min=1e-12), 0.0).clamp(-0.5, 0.5))
    refined = whole + torch.stack(parts, dim=1)
    return torch.where((_over_blocks(warped(second, refined), first) < least)[:, None], refined, whole)


def _over_blocks(moved: Tensor, first: Tensor) -> Tensor:
    """Squared difference of ``moved [N, 3, H, W]`` from ``first``, summed over the block at each pixel, ``[N, H, W]``.

    Slices are added one by one, which is several times faster on a CPU than pooling.
    """
    height, width = first.shape[2:]
    difference = moved - first
    wide = F.pad((difference * difference).sum(dim=1), [BLOCK // 2] * 4, mode="replicate")
    columns = sum((wide[:, y : y + height] for y in range(1, BLOCK)), wide[:, :height])
    return sum((columns[:, :, x : x + width] for x in range(1, BLOCK)), columns[:, :, :width])


def warped(images: Tensor, displacement: Tensor) -> Tensor:
    """``images [N, C, H, W]`` looked up at each pixel's place plus its displacement ``[N, 2, H, W]``, bilinearly."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y]).to(images) + displacement
    size = torch.tensor([width, height]).to(images).view(2, 1, 1)
    grid = ((2 * places + 1) / size - 1).movedim(1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def visible(forth: Tensor, back: Tensor) -> Tensor:
    """Pixels of frames that are in the other frames too, by the flow there and back, bool ``[N, H, W]``."""
    return (forth + warped(back, forth)).norm(dim=1) <= RETURN


@torch.no_grad()
def warping_error(footage: Footage) -> float:
    """Mean squared difference between a frame and the next one moved back along the flow, over pixels visible in both.

    The mean is over pixels and channels of a pair of frames, then over the pairs; in squares of the 8-bit range.
    """
    video = footage.video.float()
    errors = []
    for first in range(0, len(video) - 1, PAIRS):
        frames = video[first : first + PAIRS + 1]
        now, after = frames[:-1], frames[1:]
        forth = flow(now, after)
        seen = visible(forth, flow(after, now))
        error = (warped(after, forth) - now).double().square().mean(dim=1)
        errors += [float(error[seen].mean()) for error, seen in zip(error, seen, strict=True) if seen.any()]
    return sum(errors) / len(errors) if errors else math.nan


class WarpingError(SampleMetric):
    """Flow warping error of the counterfactual, less that of its original."""

    card = Card(
        name="warping_error",
        question="How much more than in the original does a frame differ from the next one, moved back along its flow?",
        criterion="spatiotemporal consistency",
        direction="lower",
        unit="squared fraction of the 8-bit range, above the original's",
        range=(-1.0, 1.0),
        source="Lai et al., ECCV 2018, arXiv 1808.00449, section 4.2; the flow is the video's own, by block matching "
        f"(blocks of {BLOCK} pixels, up to {REACH} pixels a frame), there and back for what is hidden",
        failure_modes="Blind to motion that is wrong but smooth, and to an object that fades: a still video has none. "
        f"A blurred video has less than its original. Motion faster than {REACH} pixels a frame counts as an error. "
        "Compare with the row of true_edit.",
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        return "a video of one frame has no flow" if dataset.shape[0] < 2 else None

    def score(self, case: Case) -> float:
        if pair(case) is None:
            return math.nan
        return case.edited.shared(warping_error) - case.original.shared(warping_error)
