"""The network of ``fer`` compared with its own runtime."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.parity.measurement import Measurement, absolute
from vcfe_bench.core import weights
from vcfe_bench.models import fer_faces


def faces(python: Path) -> Iterator[Measurement]:
    """``python`` is an interpreter with ``fer`` and TensorFlow, which runs the published network."""
    draw = np.random.default_rng(4)
    smooth = np.kron(draw.uniform(-1, 1, (32, 8, 8)), np.ones((8, 8)))
    pictures = np.concatenate([smooth, draw.uniform(-1, 1, (32, 64, 64))])[..., None].astype(np.float32)
    with TemporaryDirectory() as folder:
        given, answer = Path(folder) / "faces.npz", Path(folder) / "outputs.npz"
        np.savez(given, faces=pictures)
        subprocess.run([python, Path(__file__).with_name("keras_outputs.py"), given, answer], check=True)
        published = np.load(answer)
        path, theirs = str(published["path"]), published["probabilities"]
    network = fer_faces.FerNetwork()
    weights.fill(network, fer_faces.read(Path(path)), path)
    ours = network(torch.from_numpy(pictures).permute(0, 3, 1, 2)).softmax(dim=1)
    yield Measurement(
        "probabilities of fer_faces",
        "fer's network in Keras",
        "64 random pictures",
        absolute(ours, theirs),
        "absolute",
        1e-5,
    )
