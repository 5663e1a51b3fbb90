"""The comparisons that ``nox -s bench`` makes, in small."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.bench import scoring, throughput
from tests.bench.clock import Clock


class Pause(nn.Module):
    """Takes two seconds of a made-up time, and then calls ``inner``."""

    def __init__(self, spend: Callable[[float], None], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.spend = spend
        self.inner = inner

    def forward(self, x):
        self.spend(2)
        return x if self.inner is None else self.inner(x)


def test_the_clock_counts_the_outermost_forward_passes_only(monkeypatch):
    times = [0.0]

    def spend(seconds: float) -> None:
        times[0] += seconds

    monkeypatch.setattr("tests.bench.clock.perf_counter", lambda: times[0])
    clock = Clock()
    with clock.part("pair"):
        Pause(spend, Pause(spend))(torch.zeros(1))
        spend(3)
    Pause(spend)(torch.zeros(1))
    assert (clock.seconds, clock.forward["pair"], clock.outside) == (7, 4, 3)


@pytest.mark.slow
def test_both_sides_of_the_comparison_have_the_same_scores():
    """``compare`` raises an exception where they differ."""
    quick = ("SSIM", "LPIPS", "FVD")  # without FID, whose matrix root takes a minute
    found = scoring.compare(2, (9, 64, 64), methods=2, metrics=quick)
    assert len(list(found.rows())) == len(quick) + 2
    assert 0 < found.ours.outside < found.ours.seconds
    assert set(found.ours.whole) == set(found.theirs.whole) == set(quick)


@pytest.mark.slow
def test_throughput_is_that_of_all_workers():
    assert 0.2 < throughput.ratio(8, "toy_half", "toy_lights") < 20
