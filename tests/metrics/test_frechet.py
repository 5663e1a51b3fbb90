import math
from unittest.mock import patch

import numpy as np
import pytest
import pytorch_fid.inception
import scipy.linalg
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from tests.metrics.conftest import noise
from vcfe_bench.core.weights import Weights
from vcfe_bench.metrics.feature_sets import CroppedI3DClips, I3DClips
from vcfe_bench.metrics.frechet import FVDI3D, FIDInception, FIDStVGG, frechet_distance
from vcfe_bench.metrics.set_distance import I3DParams
from vcfe_bench.models import feature_networks


def samples(seed: int, n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """With the positive square root of the covariance, valid at any rank."""
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def test_closed_form_in_one_dimension():
    a, b = np.array([[-1.0], [0.0], [1.0]]), np.array([[1.0], [3.0], [5.0]])  # deviations 1 and 2, means 0 and 3
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 1) ** 2, rel=1e-12)


def test_closed_form_of_axis_aligned_gaussians():
    axes = np.concatenate([np.eye(5), -np.eye(5)])
    a, b = axes * np.arange(1, 6), axes * np.arange(5, 0, -1) + 2
    deviations = np.sqrt(2 / 9) * np.array([np.arange(1, 6), np.arange(5, 0, -1)])
    assert frechet_distance(a, b) == pytest.approx(5 * 2**2 + (np.diff(deviations, axis=0) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(300, 300), (40, 300), (41, 39)])
def test_against_the_matrix_square_root(n, m):
    a, b = samples(0, n, 24), samples(1, m, 24)
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_against_pytorch_fid():
    a, b = samples(0, 200, 24), samples(1, 300, 24)
    assert frechet_distance(a, b) == pytest.approx(calculate_frechet_distance(*moments(a), *moments(b)), rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 30), st.integers(1, 12))
def test_exact_at_every_rank_symmetric_and_independent_of_order(seed, n, m, d):
    a, b = samples(seed, n, d), samples(seed + 1, m, d)
    value = frechet_distance(a, b)
    scale = np.trace(moments(a)[1]) + np.trace(moments(b)[1])
    assert value == pytest.approx(by_definition(a, b), rel=1e-6, abs=1e-6 * scale)
    assert value == pytest.approx(frechet_distance(b, a), rel=1e-9, abs=1e-9 * scale)
    assert value == pytest.approx(frechet_distance(a[::-1], np.roll(b, 1, axis=0)), rel=1e-9, abs=1e-9 * scale)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9 * scale)
    assert frechet_distance(a, a + 2.0) == pytest.approx(4.0 * d, abs=1e-6 * scale)


def test_single_precision_features_are_summed_in_double_precision():
    a, b = (samples(seed, 64, 100).astype(np.float32) + np.float32(1000) for seed in (0, 1))
    assert frechet_distance(a, b) == pytest.approx(by_definition(a.astype(float), b.astype(float)), rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))])
def test_sets_without_a_covariance_are_refused(a, b):
    with pytest.raises(ValueError, match="two sets"):
        frechet_distance(np.zeros(a), np.zeros(b))


def test_distance_of_features_per_video():
    a, b = samples(0, 6, 4), samples(1, 6, 4)
    metric = FVDI3D()
    value = metric.distance(list(a.reshape(2, 3, 4)), list(b.reshape(3, 2, 4)), [])
    assert value == pytest.approx(frechet_distance(a, b), rel=1e-12)
    assert math.isnan(metric.distance([a[:1]], [b], []))
    assert math.isnan(metric.distance([], [b], []))
    assert math.isnan(metric.distance([a, np.full((1, 4), np.nan)], [b], []))


def test_fvd_needs_nine_frames(silent_of):
    assert FVDI3D().unavailable(silent_of((8, 64, 64))) == "needs 9 frames or more, the dataset's videos have 8"
    assert FVDI3D().unavailable(silent_of((9, 64, 64))) is None


def reference_resize(frame: np.ndarray, side: int) -> np.ndarray:
    """Bilinear interpolation of ``[H, W]`` to ``side``² at pixel centres, written out."""
    for axis in (0, 1):
        length = frame.shape[axis]
        at = ((np.arange(side) + 0.5) * length / side - 0.5).clip(0, length - 1)
        first = np.floor(at).astype(int)
        share = np.expand_dims(at - first, 1 - axis)
        ends = frame.take(first, axis), frame.take((first + 1).clip(max=length - 1), axis)
        frame = (1 - share) * ends[0] + share * ends[1]
    return frame


@pytest.mark.parametrize("shape", [(36, 64), (64, 36), (48, 48), (240, 224)])
def test_fvd_resizes_whole_frames_and_centres_the_range(shape):
    video = noise(0, 9, 3, *shape)
    clip = I3DClips.clip(video)
    assert clip.shape == (1, 3, 9, 224, 224)
    expected = 2 * reference_resize(video[4, 1].double().numpy(), 224) - 1
    np.testing.assert_allclose(clip[0, 1, 4].numpy(), expected, atol=1e-4)


def test_the_crop_scales_the_short_side_and_keeps_the_middle():
    video = torch.zeros(9, 3, 32, 64)
    video[:, 0, :, 16:48] = 1.0
    clip = CroppedI3DClips.clip(video)
    assert clip.shape == (1, 3, 9, 224, 224)
    assert clip[0, 0, :, :, 4:-4].min() == pytest.approx(1.0)
    assert clip[0, 1].max() == pytest.approx(-1.0)
    assert CroppedI3DClips.clip(torch.rand(9, 3, 240, 224)).shape == (1, 3, 9, 224, 224)


@given(st.integers(8, 80))
@settings(max_examples=10, deadline=None)
def test_square_videos_are_prepared_alike_with_and_without_the_crop(side):
    video = noise(side, 2, 3, side, side)
    assert torch.equal(I3DClips.clip(video), CroppedI3DClips.clip(video))


def test_the_crop_has_a_name_and_features_of_its_own():
    whole, crop = FVDI3D(), FVDI3D(I3DParams(crop=True))
    assert (whole.card.name, crop.card.name) == ("FVD(i3d)", "FVD(i3d-crop)")
    assert whole.network != crop.network
    assert (whole.card.version, crop.card.version) == (2, 1)


@pytest.mark.parametrize("metric", [FVDI3D(), FIDStVGG()])
def test_features_of_bad_input(metric):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metric.features(torch.full((9, 3, 32, 32), 255.0))


def test_features_of_frames_that_are_not_finite_are_nan():
    assert np.isnan(FIDStVGG().features(torch.full((2, 3, 32, 32), math.nan))).all()


def test_fvd_features_are_one_row_of_logits():
    features = FVDI3D().features(noise(0, 9, 3, 16, 16))
    assert features.shape == (1, 400)
    assert np.isfinite(features).all()


def test_vgg_features_have_the_published_values():
    ramp = torch.arange(64) / 63
    frame = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).T, torch.full((64, 64), 0.25)])
    features = FIDStVGG().features(frame[None])
    assert np.linalg.norm(features) == pytest.approx(51.609871, rel=1e-5)
    assert features.argmax() == 162


def test_vgg_features_are_one_row_per_frame_independent_of_other_frames():
    video = noise(0, 3, 3, 32, 32)
    features = FIDStVGG().features(video)
    assert features.shape == (3, 512)
    np.testing.assert_allclose(features[[1]], FIDStVGG().features(video[[1]]), rtol=1e-4, atol=1e-4)


def test_vgg_needs_frames_large_enough_for_its_pooling(silent_of):
    assert "32 pixels" in FIDStVGG().unavailable(silent_of((9, 16, 64)))
    FIDStVGG().features(torch.zeros(1, 3, 32, 32))


def test_networks_have_different_identities():
    identities = {metric.network for metric in (FIDInception(), FIDStVGG(), FVDI3D())}
    assert len(identities) == 3


@pytest.mark.slow
def test_inception_features_are_those_of_pytorch_fid(tmp_path, monkeypatch, silent):
    feature_networks.inception.cache_clear()
    torch.manual_seed(0)
    random = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    torch.save(random, tmp_path / "inception.pth")
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_networks, "INCEPTION", Weights("inception.pth", ""))
    with patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: random):
        reference = pytorch_fid.inception.InceptionV3().eval()
    video = noise(0, 2, 3, 64, 64)
    with torch.inference_mode():
        expected = reference(video)[0][:, :, 0, 0].numpy()
    assert FIDInception().unavailable(silent) is None
    np.testing.assert_allclose(FIDInception().features(video), expected, rtol=1e-5, atol=1e-6)
    assert expected.shape == (2, 2048)
    feature_networks.inception.cache_clear()


def test_missing_inception_weights_are_reported_in_one_line(tmp_path, monkeypatch, silent):
    feature_networks.inception.cache_clear()
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_networks, "INCEPTION", Weights("i.pth", "00", url=(tmp_path / "no.pth").as_uri()))
    reason = FIDInception().unavailable(silent)
    assert "i.pth is missing" in reason
    assert "\n" not in reason


def test_repeating_videos_does_not_reduce_the_bias():
    a, b = np.random.default_rng(0).normal(size=(2, 20, 30))
    few = frechet_distance(a, b)
    assert frechet_distance(np.tile(a, (20, 1)), np.tile(b, (20, 1))) == pytest.approx(few, rel=0.06)
    assert frechet_distance(*np.random.default_rng(0).normal(size=(2, 400, 30))) < 0.2 * few


def test_the_bias_falls_with_the_number_of_videos_and_pairing_hides_it():
    rng = np.random.default_rng(0)
    floors = [frechet_distance(*rng.normal(size=(2, n, 40))) for n in (10, 40, 160, 640)]
    assert floors == sorted(floors, reverse=True)
    assert floors[0] > 8 * floors[-1]
    originals = rng.normal(size=(40, 40))
    assert frechet_distance(originals, originals + 0.3 * rng.normal(size=(40, 40))) < 0.25 * floors[1]
