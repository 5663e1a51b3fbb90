"""Scoring by this package compared with tools of the field glued together (``glued``), on the same networks.

Both sides run in one thread, on the same videos, and their scores have to agree. Networks that the package does not
ship (AlexNet, Inception) have random weights, on both sides the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import Tensor

from tests.bench import glued
from tests.bench.clock import Clock
from tests.parity import networks
from tests.parity.frames import case
from vcfe_bench.executors import serial
from vcfe_bench.metrics.frechet import FVDI3D, FIDInception
from vcfe_bench.metrics.perceptual import LPIPSAlex
from vcfe_bench.metrics.proximity import SSIM
from vcfe_bench.models.i3d import i3d
from vcfe_bench.plugins.metric import SampleMetric, SetMetric
from vcfe_bench.scoring.samples import score_case
from vcfe_bench.video.lossless import dequantise, quantise

Clip = tuple[int, int, int]
SIZES: tuple[tuple[int, Clip], ...] = ((64, (17, 64, 64)), (8, (33, 224, 224)))
"""Numbers of pairs and sizes of clips in ``docs/performance.md``."""
METRICS: dict[str, Callable[[], SampleMetric | SetMetric]] = {
    "SSIM": SSIM,
    "LPIPS": LPIPSAlex,
    "FID": FIDInception,
    "FVD": FVDI3D,
}
TOLERANCES = {"SSIM": 1e-6, "LPIPS": 1e-4, "FID": 1e-2, "FVD": 1e-2}
"""Largest relative differences between the two sides. Fréchet distances of few videos are inexact in pytorch-fid, which
takes the root of a singular matrix."""


@dataclass(frozen=True)
class Comparison:
    """Both sides' scores by method and metric, and their clocks."""

    pairs: int
    clip: Clip
    ours: Clock
    theirs: Clock

    @property
    def whole(self) -> float:
        """How many times faster scoring is."""
        return self.theirs.seconds / self.ours.seconds

    @property
    def outside(self) -> float:
        """How many times faster it is outside forward passes."""
        return self.theirs.outside / self.ours.outside

    def rows(self) -> Iterator[str]:
        """Lines of a Markdown table."""
        size = f"{self.pairs} pairs of {'×'.join(map(str, self.clip))}"
        for name in self.ours.whole:
            ours, theirs = (
                f"{clock.whole[name]:.1f} ({clock.forward[name]:.1f})" for clock in (self.ours, self.theirs)
            )
            yield f"| {size} | {name} | {ours} | {theirs} | {self.theirs.whole[name] / self.ours.whole[name]:.1f} |"
        yield f"| {size} | all | {self.ours.seconds:.1f} | {self.theirs.seconds:.1f} | **{self.whole:.1f}** |"
        sides = f"{self.ours.outside:.1f} | {self.theirs.outside:.1f}"
        yield f"| {size} | outside forward passes | {sides} | **{self.outside:.1f}** |"


def compare(pairs: int, clip: Clip, methods: int, metrics: Sequence[str] = tuple(TOLERANCES)) -> Comparison:
    """Score ``methods`` on shared originals with both sides.

    Raises:
        AssertionError: their scores differ by more than ``TOLERANCES``.
    """
    originals = videos(pairs, clip, seed=0)
    edits = [_edited(originals, seed=1 + method) for method in range(methods)]
    package = networks.lpips_of_the_package()
    state = networks.inception_state() if "FID" in metrics else {}
    ours, theirs = Clock(), Clock()
    with serial.threads(1), threadpool_limits(1):
        with networks.in_the_cache(alexnet=package.get_submodule("net"), inception=state):
            mine = _scores(metrics, originals, edits, ours)
        shared = glued.Networks(package, state, i3d())
        other = [glued.scores(metrics, originals, edited, shared, theirs) for edited in edits]
    for name in metrics:
        assert [one[name] for one in mine] == pytest.approx([one[name] for one in other], rel=TOLERANCES[name]), name
    return Comparison(pairs, clip, ours, theirs)


def videos(count: int, clip: Clip, seed: int) -> list[Tensor]:
    """Smooth random videos ``[T, 3, H, W]`` on the 8-bit grid."""
    frames, height, width = clip
    coarse = torch.rand(count, 3, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(coarse, (frames, height, width), mode="trilinear").transpose(1, 2)
    return [dequantise(quantise(video)) for video in smooth]


def _edited(originals: Sequence[Tensor], seed: int) -> list[Tensor]:
    frames, _, height, width = originals[0].shape
    changes = videos(len(originals), (frames, height, width), seed)
    return [dequantise(quantise(0.8 * a + 0.2 * b)) for a, b in zip(originals, changes, strict=True)]


def _scores(
    names: Sequence[str], originals: Sequence[Tensor], edits: Sequence[Sequence[Tensor]], clock: Clock
) -> list[dict[str, float]]:
    """Scores of each method as a run computes them: the features of the originals once for all methods."""
    results: list[dict[str, float]] = [{} for _ in edits]
    for name in names:
        metric = METRICS[name]()
        with clock.part(name):
            if isinstance(metric, SetMetric):
                values = _of_sets(metric, originals, edits)
            else:
                values = [_mean(metric, originals, edited) for edited in edits]
        for result, value in zip(results, values, strict=True):
            result[name] = value
    return results


def _mean(metric: SampleMetric, originals: Sequence[Tensor], edited: Sequence[Tensor]) -> float:
    cases = (case(a, b) for a, b in zip(originals, edited, strict=True))
    return float(np.mean([score_case(one, [metric]).values[metric.card.name] for one in cases]))


def _of_sets(metric: SetMetric, originals: Sequence[Tensor], edits: Sequence[Sequence[Tensor]]) -> list[float]:
    real, sources = [metric.features(video) for video in originals], [str(number) for number in range(len(originals))]
    fakes = [[metric.features(video) for video in edited] for edited in edits]
    return [metric.distance(real, fake, sources) for fake in fakes]
