import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.metrics.conftest import noise
from tests.metrics.targets import Bright, Columns, OnGrid, Trend
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Constraints, Generator
from vcfe_bench.metrics.requery import survives
from vcfe_bench.metrics.robustness import (
    SurvivesBlur,
    SurvivesH264,
    SurvivesReconstruction,
    SurvivesShift,
    h264,
    shifts,
)
from vcfe_datasets.shapes.shape_moving import ShapeMoving

YES = torch.tensor([-5.0, 5.0])
METRICS = [SurvivesH264(), SurvivesShift(), SurvivesBlur()]
WHITE = torch.ones(5, 3, 32, 32)
STRIPES = WHITE * (torch.arange(32) % 2 == 0)


@pytest.fixture
def asked(case):
    """Builds a case of a video that is flipped to class 1, with its target."""

    def build(target, video, after=YES):
        return replace(case(torch.zeros_like(video), video, ClassGoal(1), YES.flip(0), after), target=target)

    return build


@pytest.mark.parametrize("metric", METRICS)
def test_a_flip_based_on_coarse_content_survives(asked, metric):
    brighter = WHITE * torch.linspace(0.2, 1, 5).view(5, 1, 1, 1)
    assert metric.score(asked(Bright(), brighter)) == 1
    assert metric.score(asked(Trend(), brighter)) == 1


@pytest.mark.parametrize("metric", [SurvivesShift(), SurvivesBlur()])
def test_a_flip_based_on_single_pixels_does_not_survive(asked, metric):
    assert Columns().forward(STRIPES[None]).argmax() == 1
    assert metric.score(asked(Columns(), STRIPES)) == 0


def test_faint_noise_does_not_survive_compression():
    grey = torch.full((9, 3, 64, 64), 0.5)
    noisy = grey + (noise(0, *grey.shape) - 0.5) * 6 / 255
    assert (h264(noisy, 16.0) - grey).std() < 0.2 * (noisy - grey).std()


def test_compression_keeps_frames_order_and_content():
    video = ShapeMoving().sample("validation", 3).video
    back = h264(video, 16.0)
    assert back.shape == video.shape
    assert torch.equal((255 * back).round() / 255, back)
    error = (back[:, None] - video[None]).square().mean(dim=(2, 3, 4))
    assert torch.equal(error.diagonal(), error.amin(dim=1))
    assert error.amax() > 10 * error.diagonal().amax()
    assert 10 * math.log10(1 / error.diagonal().mean()) > 28
    assert not torch.equal(back, video)
    assert torch.equal(back, h264(video, 16.0))


def test_shifts_are_by_one_pixel_and_repeat_the_border():
    video = noise(1, 2, 3, 6, 8)
    expected = [
        np.pad(video.numpy(), [(0, 0), (0, 0), *pad], mode="edge")[:, :, rows, columns]
        for pad, rows, columns in (
            ([(0, 0), (0, 1)], slice(None), slice(1, None)),
            ([(0, 0), (1, 0)], slice(None), slice(None, -1)),
            ([(0, 1), (0, 0)], slice(1, None), slice(None)),
            ([(1, 0), (0, 0)], slice(None, -1), slice(None)),
        )
    ]
    np.testing.assert_array_equal(shifts(video).numpy(), np.stack(expected))


def test_every_altered_version_has_to_keep_the_flip(asked):
    found = asked(Columns(), STRIPES)
    assert survives(found, torch.stack([STRIPES, STRIPES])) == 1
    assert survives(found, torch.stack([STRIPES, STRIPES.roll(1, dims=3)])) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_altered_videos_are_quantised_before_the_target_is_run(asked, metric):
    assert metric.score(asked(OnGrid(), noise(2, 5, 3, 32, 32))) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_only_flips_can_survive(asked, metric):
    assert math.isnan(metric.score(asked(Bright(), WHITE, after=YES.flip(0))))
    assert math.isnan(metric.score(asked(Bright(), WHITE, after=YES * math.nan)))
    assert math.isnan(metric.score(asked(Bright(), WHITE * math.nan)))


class Thirds(Generator):
    """Keeps a third of the brightness, or triples it."""

    constraints = Constraints(1, 1)

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def encode(self, video):
        return video.transpose(1, 2)

    def decode(self, latent):
        return self.factor * latent.transpose(1, 2)

    def condition(self, first_frame, shape):
        return None

    def velocity(self, latent, sigma, condition):
        return latent

    def sigmas(self, steps, start=1.0):
        return [0.0]

    def latent_shape(self, shape):
        return 3, *shape

    @property
    def fingerprint(self):
        return "thirds"


def test_a_flip_survives_a_generator_that_keeps_the_relevant_content(asked):
    grey = 0.7 * WHITE
    for video, factor, survives_it in ((grey, 1.0, 1), (grey, 1 / 3, 0), (0.6 * WHITE, 3.0, 1)):
        case = replace(asked(Bright(), video), generator=Thirds(factor))
        assert SurvivesReconstruction().score(case) == survives_it
    with pytest.raises(ValueError, match="needs the generator"):
        SurvivesReconstruction().score(asked(Bright(), grey))


def test_the_reconstruction_is_quantised_before_the_target_is_run(asked):
    case = replace(asked(OnGrid(), noise(3, 5, 3, 32, 32)), generator=Thirds(1.01))
    assert SurvivesReconstruction().score(case) == 1


def test_compression_needs_even_sides(silent_of):
    assert "even sides" in SurvivesH264().unavailable(silent_of((5, 32, 33)))
    assert SurvivesH264().unavailable(silent_of((5, 32, 34))) is None
