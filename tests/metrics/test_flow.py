import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.metrics.conftest import noise
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Footage, Sample
from vcfe_bench.metrics.flow import WarpingError, flow, visible, warped, warping_error
from vcfe_datasets.shapes.shape_moving import ShapeMoving

INSIDE = (slice(None), slice(10, -10), slice(10, -10))


def texture(seed: int, down: float, across: float, frames: int = 1) -> torch.Tensor:
    """A smooth pattern ``[T, 3, 48, 48]`` that moves by (down, across) pixels per frame, with scipy's splines."""
    still = ndimage.gaussian_filter(np.random.default_rng(seed).random((3, 64, 64)), (0, 2, 2)) * 2 - 0.5
    moved = [ndimage.shift(still, (0, t * down, t * across), order=5, mode="mirror") for t in range(frames)]
    return torch.from_numpy(np.stack(moved)[:, :, 8:-8, 8:-8].clip(0, 1)).float()


def pairs(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both frames as pairs forth and back."""
    return video, video.flip(0)


@given(st.integers(0, 100), st.integers(-4, 4), st.integers(-4, 4))
@settings(deadline=None, max_examples=5)
def test_integer_displacements_are_found(seed, down, across):
    there, back = pairs(texture(seed, down, across, 2))
    found, opposite = (displacement[INSIDE] for displacement in flow(there, back))
    assert (found[0] + opposite[0]).abs().mean() < 0.1
    assert (found[0] - across).abs().max() < 0.5
    assert (found[1] - down).abs().max() < 0.5
    assert (found[0] - across).abs().mean() < 0.1


@pytest.mark.parametrize(("down", "across"), [(0.5, -1.5), (1.25, 0.3)])
def test_subpixel_displacements_are_found(down, across):
    found = flow(*pairs(texture(1, down, across, 2)))[0][INSIDE]
    assert float(found[0].median()) == pytest.approx(across, abs=0.15)
    assert float(found[1].median()) == pytest.approx(down, abs=0.15)


def test_static_and_textureless_regions_do_not_move():
    frame = noise(0, 1, 3, 20, 24)
    assert flow(frame, frame).abs().max() < 1e-3
    assert not flow(frame * 0 + 0.5, frame * 0 + 0.5).any()


def test_warping_is_bilinear_and_repeats_the_border():
    images, displacements = noise(1, 2, 3, 9, 12), 6 * noise(2, 2, 2, 9, 12) - 3
    for image, displacement, found in zip(images, displacements, warped(images, displacements), strict=True):
        places = np.indices((9, 12)) + displacement.numpy()[::-1]
        expected = [ndimage.map_coordinates(layer, places, order=1, mode="nearest") for layer in image.numpy()]
        np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-5)


def test_pixels_whose_flow_returns_are_visible():
    forth = torch.zeros(1, 2, 16, 16)
    forth[:, 0] = 2
    back = -forth
    assert visible(forth, back).all()
    back[:, 0, :, 10:] = 2
    assert visible(forth, back)[..., :8].all()
    assert not visible(forth, back)[..., 9:].any()


def error(video: torch.Tensor) -> float:
    return warping_error(Footage(None, Sample("s", video, 0, 16.0), video))


def test_motion_costs_nearly_nothing_and_flicker_its_square():
    moving = texture(2, 1, -2, 5)
    change = float((moving.diff(dim=0) ** 2).mean())
    assert error(moving) < 0.03 * change
    flicker = torch.full((6, 3, 32, 32), 0.5)
    flicker[::2] += 0.2
    assert error(flicker) == pytest.approx(0.2**2, rel=1e-5)
    assert error(moving[:1].expand(4, -1, -1, -1)) < 1e-6


def test_pairs_of_frames_have_equal_weight_across_batches():
    moving, still = texture(5, 1, 1, 3), torch.full((1, 3, 48, 48), 0.5)
    parts = [error(moving[k : k + 2]) for k in range(2)]
    long = torch.cat([moving, *[moving[1:2], moving[2:3]] * 5])
    backwards = error(moving[1:].flip(0))
    assert error(long) == pytest.approx((parts[0] + 6 * parts[1] + 5 * backwards) / 12, rel=1e-5)
    assert math.isnan(error(still))


def test_noise_increases_the_error(case):
    still = texture(3, 0, 0, 4)
    noisy = (still + 0.1 * (noise(4, *still.shape) - 0.5)).clamp(0, 1)
    assert WarpingError().score(case(still, noisy)) > 1e-4
    assert WarpingError().score(case(still, still)) == 0
    assert WarpingError().score(case(noisy, still)) < -1e-4
    assert math.isnan(WarpingError().score(case(still, still * math.nan)))


def test_a_jump_is_an_error_and_a_true_edit_is_not():
    dataset = ShapeMoving()
    sample, goal = dataset.sample("validation", 0), ClassGoal(3)
    errors = {
        name: warping_error(Footage(dataset, sample, video))
        for name, video in (
            ("true", dataset.true_edit(sample, goal)),
            ("teleports", dataset.corrupted_edit(sample, goal, "teleports")),
        )
    }
    assert errors["teleports"] > 3 * errors["true"]


def test_one_frame_has_no_flow(silent_of):
    assert WarpingError().unavailable(silent_of((1, 32, 32))) == "a video of one frame has no flow"
    assert WarpingError().unavailable(silent_of((2, 32, 32))) is None
