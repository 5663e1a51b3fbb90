from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.metrics.conftest import noise
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Sample
from vcfe_bench.metrics.sharpness import Sharpness
from vcfe_datasets.shapes.shape_moving import ShapeMoving

DATASET = ShapeMoving()


def _sharpness(original: torch.Tensor, counterfactual: torch.Tensor) -> float:
    sample = Sample("0", original, 0, 16.0)
    return Sharpness().score(Case(DATASET, sample, ClassGoal(1), counterfactual, torch.zeros(4), torch.zeros(4)))


def _waves(frequency: float, amplitude: float) -> torch.Tensor:
    """Frames ``[3, 3, 66, 66]`` that vary across, 64 pixels being a whole number of periods."""
    across = 0.5 + amplitude * torch.cos(2 * math.pi * frequency * torch.arange(66) / 64)
    return across.expand(3, 3, 66, 66).clone()


@pytest.mark.parametrize(("frequency", "amplitude"), [(4, 0.4), (8, 0.2), (16, 0.1)])
def test_sharpness_of_waves_in_closed_form(frequency, amplitude):
    """The discrete Laplacian of a wave is the wave times 2 cos ω - 2."""

    def energy(frequency, amplitude):
        return (amplitude * (2 * math.cos(2 * math.pi * frequency / 64) - 2)) ** 2

    found = _sharpness(_waves(2, 0.4), _waves(frequency, amplitude))
    assert found == pytest.approx(energy(frequency, amplitude) / energy(2, 0.4), rel=1e-4)


def test_it_is_the_energy_of_scipys_laplacian():
    original, counterfactual = noise(0, 2, 3, 9, 11), noise(1, 2, 3, 9, 11)

    def energy(video):
        frames = video.double().numpy().reshape(-1, 9, 11)
        return np.mean([np.square(ndimage.laplace(frame)[1:-1, 1:-1]) for frame in frames])

    expected = energy(counterfactual) / energy(original)
    assert _sharpness(original, counterfactual) == pytest.approx(expected)


def test_undefined_values_are_nan():
    plain, video = torch.full((2, 3, 8, 8), 0.5), noise(2, 2, 3, 8, 8)
    assert math.isnan(_sharpness(plain, video))
    assert math.isnan(_sharpness(video, video * math.nan))
    assert _sharpness(video, video) == 1
    assert _sharpness(video, plain) == 0
