"""Lossless storage and the 8-bit grid."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfe_bench.video import lossless


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "shape", [(17, 3, 64, 64), (1, 3, 1, 1), (3, 3, 7, 5), (2, 3, 2, 3), (5, 3, 33, 17), (65, 3, 224, 224)]
)
def test_storage_is_exact_and_the_same_each_time(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    for name in ("a.mkv", "b.mkv"):
        lossless.write(tmp_path / name, pixels, fps=29.97)
    assert torch.equal(lossless.read(tmp_path / "a.mkv"), pixels)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(1, 120))
def test_any_size_and_rate(
    tmp_path_factory: pytest.TempPathFactory, t: int, h: int, w: int, seed: int, fps: float
) -> None:
    path = tmp_path_factory.mktemp("video") / "x.mkv"
    pixels = noise(t, 3, h, w, seed=seed)
    lossless.write(path, pixels, fps)
    assert torch.equal(lossless.read(path), pixels)


def test_the_grid_is_a_fixed_point() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(lossless.quantise(lossless.dequantise(pixels)), pixels)


@given(st.lists(st.floats(-2, 3, width=32), min_size=1))
def test_quantise_clamps_and_rounds_half_up(values: list[float]) -> None:
    pixels = lossless.quantise(torch.tensor(values))
    for value, pixel in zip(values, pixels.tolist(), strict=True):
        exact = min(max(value, 0.0), 1.0) * 255
        assert pixel - 0.5 <= exact < pixel + 0.5


def test_content_hash_knows_shape_and_has_not_changed() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(2, 3, 2, 4)
    assert lossless.content_hash(pixels) != lossless.content_hash(pixels.reshape(2, 3, 4, 2))
    assert lossless.content_hash(pixels)[:16] == "a7f95c0127c4b603"
