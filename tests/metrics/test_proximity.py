import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from tests.metrics.conftest import noise
from vcfe_bench.metrics.proximity import L1, SSIM


def wang_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two planes by its definition, window by window."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(plane: np.ndarray) -> np.ndarray:
        return convolve2d(plane, window, mode="valid")

    mx, my = mean(x), mean(y)
    vx, vy, covariance = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return float((((2 * mx * my + c1) * (2 * covariance + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def test_l1_is_the_mean_difference(case):
    black, grey = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    assert L1().score(case(black, grey)) == 0.5
    assert L1().score(case(grey, grey)) == 0.0


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_ssim_by_definition_at_any_contrast(case, scale):
    a, b = scale * noise(0, 3, 3, 20, 24), scale * noise(1, 3, 3, 20, 24)
    b = 0.7 * a + 0.3 * b
    planes = zip(a.double().flatten(0, 1).numpy(), b.double().flatten(0, 1).numpy(), strict=True)
    assert SSIM().score(case(a, b)) == pytest.approx(np.mean([wang_ssim(x, y) for x, y in planes]), abs=1e-7)


def test_ssim_is_computed_frame_by_frame(case):
    a, b = noise(0, 6, 3, 16, 16), noise(1, 6, 3, 16, 16)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    single = [SSIM().score(case(a[[t]], b[[t]])) for t in range(6)]
    assert SSIM().score(case(a, b)) == pytest.approx(np.mean(single), abs=1e-12)
    assert SSIM().score(case(a[order], b[order])) == pytest.approx(np.mean(single), abs=1e-12)


def test_ssim_of_equal_videos_is_one_and_ssim_is_symmetric(case):
    a, b = noise(0, 2, 3, 16, 16), noise(1, 2, 3, 16, 16)
    assert SSIM().score(case(a, a)) == pytest.approx(1.0, abs=1e-12)
    assert SSIM().score(case(a, b)) == pytest.approx(SSIM().score(case(b, a)), abs=1e-12)


def test_ssim_needs_frames_as_large_as_its_window(silent_of):
    assert "11 pixels" in SSIM().unavailable(silent_of((9, 10, 64)))
    assert SSIM().unavailable(silent_of((9, 11, 64))) is None


@pytest.mark.parametrize("metric", [L1(), SSIM()])
def test_nan_in_a_video_gives_nan(case, metric):
    broken = torch.zeros(2, 3, 16, 16)
    broken[1, 2, 3, 4] = math.nan
    assert math.isnan(metric.score(case(torch.zeros(2, 3, 16, 16), broken)))


@pytest.mark.parametrize("metric", [L1(), SSIM()])
@pytest.mark.parametrize(
    "video",
    [
        pytest.param(torch.full((2, 3, 16, 16), 255.0), id="0..255"),
        pytest.param(torch.full((2, 3, 16, 16), -1.0), id="-1..1"),
        pytest.param(torch.zeros(3, 3, 16, 16), id="other length"),
        pytest.param(torch.zeros(3, 2, 16, 16), id="channels first"),
        pytest.param(torch.zeros(1, 2, 3, 16, 16), id="batch"),
    ],
)
def test_other_scales_and_layouts_are_refused(case, metric, video):
    with pytest.raises(ValueError, match=r"video|original"):
        metric.score(case(torch.zeros(2, 3, 16, 16), video))
