"""Fréchet and kernel distances of given features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import torch

from tests.parity.measurement import Measurement, relative
from vcfe_bench.metrics.frechet import frechet_distance
from vcfe_bench.metrics.kernel import kernel_distance


def frechet() -> Iterator[Measurement]:
    axes = np.concatenate([np.eye(40), -np.eye(40)])
    lengths = np.linspace(0.1, 7, 40)
    ours = frechet_distance(axes * lengths, axes * lengths[::-1] + 2)
    deviations = lengths * np.sqrt(2 / 79)
    closed = 40 * 2.0**2 + ((deviations - deviations[::-1]) ** 2).sum()
    yield Measurement(
        "Fréchet distance",
        "closed form",
        "Gaussians of known moments, 40 features",
        relative(ours, closed),
        "relative",
        1e-6,
    )
    for videos, features in ((600, 400), (60, 400)):
        a, b = (correlated(seed, videos, features) for seed in (0, 1))
        yield Measurement(
            "Fréchet distance",
            "scipy's matrix square root",
            f"{videos} random rows of {features} features",
            relative(frechet_distance(a, b), by_square_root(a, b)),
            "relative",
            1e-6,
        )


def correlated(seed: int, n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + rng.normal(size=d)


def by_square_root(a: np.ndarray, b: np.ndarray) -> float:
    """By definition, with ``scipy.linalg.sqrtm`` of a symmetric matrix, which works at any rank."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a).real
    product = scipy.linalg.sqrtm(root @ cov_b @ root).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(product))


def kernel() -> Iterator[Measurement]:
    from torch_fidelity.metric_kid import kernel_poly, kid_features_to_metric, mmd2

    a, b = correlated(0, 120, 400), correlated(1, 120, 400)
    settings = {"kid_subsets": 1, "kid_subset_size": 120, "rng_seed": 0, "verbose": False}
    theirs = kid_features_to_metric(torch.from_numpy(a), torch.from_numpy(b), **settings)
    apart = kernel_distance(a, b, np.arange(120), np.arange(120, 240))
    yield Measurement(
        "KID, KVD of independent sets",
        "torch-fidelity, one subset of all",
        "120 random rows of 400 features",
        relative(apart, theirs["kernel_inception_distance_mean"]),
        "relative",
        1e-6,
    )
    edited = a + 0.3 * b
    kernels = [kernel_poly(x, y) for x, y in ((a, a), (a, edited), (edited, edited))]
    paired = kernel_distance(a, edited, np.arange(120), np.arange(120))
    yield Measurement(
        "KID, KVD of originals and their edits",
        "torch-fidelity's mmd2, U-statistic",
        "120 random rows of 400 features",
        relative(paired, mmd2(*kernels, mmd_est="u-statistic")),
        "relative",
        1e-6,
    )
