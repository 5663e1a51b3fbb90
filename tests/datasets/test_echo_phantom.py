from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from tests.datasets.echo_corruptions import CORRUPTIONS, beating
from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Sample
from vcfe_datasets.echo.echo_phantom import (
    APEX,
    BLOOD,
    COUNT,
    DEPTH,
    FLICKER,
    FPS,
    SLOPE,
    SYSTOLE,
    VALUES,
    WALL,
    EchoPhantom,
    EchoPhantomParams,
    Scene,
    contraction,
    render,
    scene,
    semi_axes,
    wall_thickness,
)
from vcfe_datasets.echo.echo_planimetry import area_length_volume

numbers = st.integers(0, COUNT - 1)
fractions = st.floats(5, 85)


@pytest.fixture(scope="module")
def dataset() -> EchoPhantom:
    return EchoPhantom()


@pytest.fixture(scope="module")
def samples(dataset) -> list[Sample]:
    return [dataset.sample("validation", index) for index in range(200)]


def test_video_content_never_changes():
    pixels = np.stack([EchoPhantom().pixels(*scene(k)) for k in (0, 1, 2, 3, 9_999, 19_999)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN


GOLDEN = "84cd2c05292f99964e8531aede4e1652869f6046b6ca37ca345da01fb26c6c63"


def test_splits_are_disjoint_and_complete(dataset):
    seen = {split: [dataset.number(split, i) for i in range(dataset.size(split))] for split in ("train", "validation")}
    assert sorted(seen["train"] + seen["validation"]) == list(range(COUNT))
    assert len(seen["train"]) == 4 * len(seen["validation"])


def test_index_outside_the_split_is_an_error(dataset):
    with pytest.raises(IndexError):
        dataset.sample("validation", dataset.size("validation"))


def test_sample_is_grey_on_the_8_bit_grid_and_another_seed_gives_another(dataset):
    sample = dataset.sample("train", 3)
    assert sample.video.shape == (17, 3, 64, 64)
    assert torch.equal(sample.video[:, 0], sample.video[:, 1])
    assert torch.equal(sample.video[:, 0], sample.video[:, 2])
    assert torch.equal((sample.video * 255).round() / 255, sample.video)
    other = EchoPhantom(EchoPhantomParams(seed=1)).sample("train", 3)
    assert (other.video != sample.video).float().mean() > 0.3


def test_labels_are_uniform_in_their_range():
    labels = [scene(k)[1] for k in range(4000)]
    assert stats.kstest(labels, stats.uniform(VALUES.low, VALUES.high - VALUES.low).cdf).pvalue > 0.01


def test_anatomy_is_independent_of_the_label():
    drawn = [scene(k) for k in range(4000)]
    labels = [label for _, label in drawn]
    for name in asdict(drawn[0][0]):
        rho = stats.spearmanr([getattr(content, name) for content, _ in drawn], labels).statistic
        assert abs(rho) < 4 / np.sqrt(4000), name


def test_the_first_frame_is_independent_of_the_label(samples):
    labels = stats.rankdata([sample.label for sample in samples])
    frames = torch.stack([sample.video[0, :1] for sample in samples])
    patches = torch.nn.functional.avg_pool2d(frames, 8).flatten(1)
    ranks = stats.rankdata(patches.numpy(), axis=0)
    correlations = [np.corrcoef(column, labels)[0, 1] for column in ranks.T if np.ptp(column)]
    assert len(correlations) > 40
    assert np.abs(correlations).max() < 4 / np.sqrt(len(samples))


@given(numbers, fractions)
@settings(max_examples=20, deadline=None)
def test_first_frame_is_the_same_for_all_labels(number, fraction):
    content, label = scene(number)
    one, other = beating(content, label), beating(content, fraction)
    assert (one[0] == other[0]).all()
    assert abs(label - fraction) < 1 or (one != other).any()


@given(numbers, fractions)
@settings(max_examples=200, deadline=None)
def test_label_follows_from_areas_and_lengths(number, fraction):
    axes = semi_axes(scene(number)[0], fraction)
    short, long = axes.T
    volume = area_length_volume(np.pi * short * long, 2 * long)
    assert volume == pytest.approx(4 / 3 * np.pi * short**2 * long)
    assert 100 * (1 - volume.min() / volume[0]) == pytest.approx(fraction)
    assert volume.max() == volume[0]


@pytest.mark.parametrize("period", SYSTOLE)
def test_a_beat_falls_to_end_systole_and_rises_again(period):
    curve = contraction(period)
    systole = SYSTOLE[period]
    assert curve.shape == (period,)
    assert curve[0] == 0
    assert curve[systole] == 1
    assert (np.diff(curve[: systole + 1]) > 0).all()
    assert (np.diff(curve[systole:]) < 0).all()
    assert 48 <= 60 * FPS / period <= 120


@given(numbers, fractions)
@settings(max_examples=200, deadline=None)
def test_the_area_of_the_wall_is_constant(number, fraction):
    content, _ = scene(number)
    axes = semi_axes(content, fraction)
    wall = wall_thickness(content, axes)
    areas = np.pi * ((axes + wall[:, None]).prod(1) - axes.prod(1))
    assert wall[0] == pytest.approx(content.wall)
    assert areas == pytest.approx(areas[0])
    assert wall.argmax() == SYSTOLE[content.period]


def test_the_chamber_lies_inside_the_sector():
    drawn = [scene(k)[0] for k in range(COUNT)]
    x, y, tilt, short, long = (
        np.array([getattr(content, name) for content in drawn]) for name in ("x", "y", "tilt", "short", "long")
    )
    angle = 2 * np.arctan(tilt)
    for side in (-1, 1):
        normal = np.array([side, -SLOPE]) / np.hypot(1, SLOPE)
        across = normal[0] * np.cos(angle) + normal[1] * np.sin(angle)
        along = normal[1] * np.cos(angle) - normal[0] * np.sin(angle)
        support = np.hypot(short * across, long * along)
        assert (normal[0] * (x - APEX[0]) + normal[1] * (y - APEX[1]) + support).max() < -1
    assert (y + long).max() < DEPTH - 5


def test_drawn_area_is_that_of_the_ellipse():
    ratios = []
    for number in range(60):
        content, label = scene(number)
        axes = semi_axes(content, label)
        dark = render(content, axes) < content.gain * (BLOOD + WALL) * 0.87 / 2
        labels, _ = ndimage.label(dark, np.pad(np.ones((1, 3, 3)), ((1, 1), (0, 0), (0, 0))))
        middle = labels[:, int(content.y), int(content.x)]
        ratios.append((labels == middle[:, None, None]).sum((1, 2)) / (np.pi * axes.prod(1)))
    ratios = np.concatenate(ratios)
    assert ratios.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(ratios - 1).max() < 0.06


def test_speckle_moves_with_the_wall():
    angles = np.arange(0, 2 * np.pi, 0.05)
    with_tissue, in_place = [], []
    for number in range(40):
        content, _ = scene(number)
        axes = semi_axes(content, 60)
        systole = SYSTOLE[content.period]
        diastolic, systolic = render(content, axes)[[0, systole]].astype(float)

        def around(frame: np.ndarray, short: float, long: float, content: Scene = content) -> np.ndarray:
            tilt = 2 * np.arctan(content.tilt)
            u, v = (short + 2) * np.cos(angles), (long + 2) * np.sin(angles)
            x = content.x + u * np.cos(tilt) - v * np.sin(tilt) - 0.5
            y = content.y + u * np.sin(tilt) + v * np.cos(tilt) - 0.5
            return ndimage.map_coordinates(frame, [y, x], order=1)

        before = around(diastolic, *axes[0])
        with_tissue.append(np.corrcoef(before, around(systolic, *axes[systole]))[0, 1])
        in_place.append(np.corrcoef(before, around(systolic, *axes[0]))[0, 1])
    assert np.mean(with_tissue) > 0.6
    assert np.mean(with_tissue) > np.mean(in_place) + 0.3


def test_a_larger_format_shows_the_same_scene_with_more_beats(dataset):
    large = EchoPhantom(EchoPhantomParams(frames=33, size=128)).sample("validation", 5)
    small = dataset.sample("validation", 5)
    assert large.video.shape == (33, 3, 128, 128)
    assert large.label == small.label
    assert torch.nn.functional.avg_pool2d(large.video[:17], 2).sub(small.video).abs().mean() < 0.02
    period = small.attributes["period"]
    assert torch.equal(large.video[period:], large.video[:-period])


def test_oracle_is_right_on_originals(dataset, samples):
    measured = [dataset.oracle(sample, sample.video) for sample in samples]
    errors = np.array([m - sample.label for m, sample in zip(measured, samples, strict=True) if m is not None])
    assert (np.abs(errors) <= 2).sum() >= 0.99 * len(samples)
    assert abs(errors.mean()) < 0.3


def test_oracle_is_right_for_a_larger_format():
    dataset = EchoPhantom(EchoPhantomParams(frames=33, size=112))
    for index in range(10):
        sample = dataset.sample("validation", index)
        assert dataset.oracle(sample, sample.video) == pytest.approx(sample.label, abs=2)


def test_oracle_tolerates_slight_noise_and_blur(dataset, samples):
    generator = torch.Generator().manual_seed(0)
    for sample in samples[:30]:
        noisy = sample.video + 0.03 * torch.randn(sample.video.shape, generator=generator)
        assert dataset.oracle(sample, noisy) == pytest.approx(sample.label, abs=3)
        blurred = torch.nn.functional.avg_pool2d(sample.video, 3, 1, 1)
        assert dataset.oracle(sample, blurred) == pytest.approx(sample.label, abs=3)


def test_planimetry_follows_the_ellipse(dataset, samples):
    for sample in samples[:30]:
        content = Scene(**sample.attributes)
        axes = semi_axes(content, sample.label)[np.arange(17) % content.period]
        found = dataset.planimetry(sample, sample.video)
        assert found.area == pytest.approx(np.pi * axes.prod(1), rel=0.05)
        assert found.length == pytest.approx(2 * axes[:, 1], rel=0.03)
        assert (found.systoles % content.period == SYSTOLE[content.period]).all()
        assert (found.diastoles % content.period == 0).all()


def test_true_edit_reaches_the_goal_from_the_same_first_frame(dataset, samples):
    for sample in samples[:8]:
        for value in (15.0, VALUES.low, 47.5, VALUES.high, 80.0):
            edit = dataset.true_edit(sample, ValueGoal(value, 2.0))
            assert dataset.oracle(sample, edit) == pytest.approx(value, abs=2)
            assert torch.equal(edit[0], sample.video[0])
        assert torch.equal(dataset.true_edit(sample, ValueGoal(sample.label, 2.0)), sample.video)


@pytest.mark.parametrize("goal", [ClassGoal(0), ValueGoal(-1.0, 2.0), ValueGoal(95.0, 2.0)])
def test_implausible_ejection_fractions_cannot_be_rendered(dataset, samples, goal):
    with pytest.raises(NotImplementedError, match="renders ejection fractions"):
        dataset.true_edit(samples[0], goal)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_oracle_rejects_corrupted_videos(dataset, corruption):
    rng = np.random.default_rng(0)
    accepted = []
    for number in range(60):
        content, label = scene(number)
        grey = CORRUPTIONS[corruption](content, label, rng)
        video = torch.from_numpy(grey).float()[:, None].expand(-1, 3, -1, -1) / 255
        if dataset.oracle(Sample("x", video, label, FPS, asdict(content)), video) is not None:
            accepted.append(number)
    assert len(accepted) <= 1, accepted


@pytest.mark.parametrize("level", [0.4, 1.0])
def test_oracle_rejects_noise(dataset, samples, level):
    generator = torch.Generator().manual_seed(1)
    for sample in samples[:20]:
        noise = torch.rand(sample.video.shape, generator=generator)
        assert dataset.oracle(sample, (1 - level) * 0.4 + level * noise) is None


def test_a_chamber_that_stands_still_has_no_ejection_fraction(dataset, samples):
    for sample in samples[:10]:
        assert dataset.oracle(sample, dataset.true_edit(sample, ValueGoal(0.0, 2.0))) is None


def test_half_of_the_training_clips_are_blurred_flicker_and_keep_their_label(dataset: EchoPhantom) -> None:
    original = dataset.sample("train", 3)
    clips = [dataset.training_clip(3, np.random.default_rng(seed)) for seed in range(40)]
    plain = [clip.equal(original.video) for clip, _ in clips]
    assert 10 <= sum(plain) <= 30
    assert {label for _, label in clips} == {original.label}
    grain = original.video.diff(dim=-1).abs().mean()
    period = original.attributes["period"]
    changed = [clip for (clip, _), kept in zip(clips, plain, strict=True) if not kept]
    flicker = [float((clip[period] - clip[0]).std()) for clip in changed]
    assert 0 < min(flicker) < 0.01 < max(flicker) < 1.5 * FLICKER
    assert min(float(clip.diff(dim=-1).abs().mean()) for clip in changed) < 0.8 * grain
