import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.conftest import noise
from vcfe_bench.metrics.change import ChangedFrames, ChangedPixels, FineInSpace, FineInTime, fine_share

GREY = torch.full((17, 3, 32, 32), 0.5)


def mirrored_share(signal: np.ndarray) -> float:
    """Share of the energy above 1/8 cycles per sample along axis 0, by Fourier transform of signal and mirror."""
    n = len(signal)
    frequencies = np.abs(np.fft.fftfreq(2 * n))
    energy = (np.abs(np.fft.fft(np.concatenate([signal, signal[::-1]]), axis=0)) ** 2).sum(axis=1)
    return float(energy[frequencies > 0.125].sum() / energy.sum())


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_share_equals_that_of_the_mirrored_signals_fourier_transform(n, seed):
    signal = np.random.default_rng(seed).normal(size=(n, 3))
    assert fine_share(signal, (0,)) == pytest.approx(mirrored_share(signal), abs=1e-9)


@given(st.integers(1, 31))
def test_waves_above_a_quarter_of_nyquist_are_fine(k):
    wave = np.cos(np.pi * (np.arange(32) + 0.5) * k / 32)
    assert fine_share(wave, (0,)) == pytest.approx(float(k / 64 > 0.125), abs=1e-9)
    assert fine_share(np.outer(wave, np.ones(32)), (0, 1)) == pytest.approx(float(k / 64 > 0.125), abs=1e-9)


def test_spatial_frequencies_are_measured_along_the_diagonal_too():
    def wave(k: int) -> np.ndarray:
        return np.cos(np.pi * (np.arange(32) + 0.5) * k / 32)

    assert fine_share(np.outer(wave(5), wave(5)), (0, 1)) == pytest.approx(0, abs=1e-9)
    assert fine_share(np.outer(wave(7), wave(7)), (0, 1)) == pytest.approx(1, abs=1e-9)


def test_white_noise_has_the_share_of_fine_frequencies(case):
    video = GREY + 0.1 * (noise(0, 17, 3, 32, 32) - 0.5)
    k = np.arange(32)
    fine = (k[:, None] ** 2 + k**2 > 8**2).mean()
    assert FineInSpace().score(case(GREY, video)) == pytest.approx(fine, abs=0.01)
    assert FineInTime().score(case(GREY, video)) == pytest.approx(12 / 17, abs=0.01)


def test_one_frame_has_no_frequencies_in_time(case, silent_of):
    assert math.isnan(FineInTime().score(case(GREY[:1], GREY[:1] + 0.1)))
    assert "one frame" in FineInTime().unavailable(silent_of((1, 32, 32)))
    assert FineInTime().unavailable(silent_of((2, 32, 32))) is None


def test_a_change_that_grows_over_the_clip_is_not_fine_in_time(case):
    growing = GREY + torch.linspace(0, 0.4, 17).view(-1, 1, 1, 1)
    flashing = GREY + 0.4 * (torch.arange(17) % 2).view(-1, 1, 1, 1)
    assert FineInTime().score(case(GREY, growing)) < 0.01
    assert FineInTime().score(case(GREY, flashing)) > 0.4
    assert FineInSpace().score(case(GREY, growing)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", [FineInSpace(), FineInTime()])
def test_spectra_do_not_depend_on_the_magnitude_of_the_change(case, metric):
    pattern = noise(3, 17, 3, 32, 32) - 0.5
    small, large = (metric.score(case(GREY, GREY + scale * pattern)) for scale in (0.01, 0.9))
    assert small == pytest.approx(large, rel=1e-4)


@pytest.mark.parametrize("metric", [FineInSpace(), FineInTime()])
def test_an_unchanged_video_has_no_spectrum(case, metric):
    assert math.isnan(metric.score(case(GREY, GREY)))


def test_pixels_count_if_they_change_by_more_than_rounding(case):
    edited = GREY.clone()
    edited[0, 0] += 1 / 255
    assert ChangedPixels().score(case(GREY, edited)) == 0
    edited[2, 1, :16] -= 2 / 255
    edited[2, 2, :16] += 9 / 255
    assert ChangedPixels().score(case(GREY, edited)) == pytest.approx(0.5 / 17)


def test_frames_count_if_more_than_stray_pixels_change(case):
    edited = GREY.clone()
    edited[3, :, 0, 0] = 1
    assert ChangedFrames().score(case(GREY, edited)) == 0
    edited[5:, :, 0, :2] = 1
    assert ChangedFrames().score(case(GREY, edited)) == pytest.approx(12 / 17)
    assert ChangedFrames().score(case(GREY, GREY)) == 0


@pytest.mark.parametrize("metric", [FineInSpace(), FineInTime(), ChangedPixels(), ChangedFrames()])
def test_nan_in_a_video_gives_nan(case, metric):
    broken = GREY.clone()
    broken[1, 2, 3, 4] = math.nan
    assert math.isnan(metric.score(case(GREY, broken)))
