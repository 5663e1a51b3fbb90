"""Pretrained weights: find the file, verify its checksum, read its tensors. Nothing that is read is ever executed."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError

ZOO = Path(__file__).parents[1] / "models" / "zoo"
"""Folder of the weights that come with the package."""


class WeightsError(UsageError):
    """Weights cannot be used; the message is one line that says what to do."""


class WeightsUnavailable(WeightsError):
    """The file is nowhere to be found."""


class CorruptWeights(WeightsError):
    """A file is there, but it is not the one expected, or not readable as weights."""


@dataclass(frozen=True)
class Weights:
    """One file of pretrained weights and the places where it may lie, searched in the order below.

    Attributes:
        name: file name in the zoo and in the cache.
        sha256: hexadecimal digest, or its first eight digits or more where its publisher gives no others.
        distribution: installed distribution that contains the file; it is read as a file, never imported.
        path: path of the file inside ``distribution``.
        url: where the file can be downloaded.
    """

    name: str
    sha256: str
    distribution: str = ""
    path: str = ""
    url: str = ""


def cache() -> Path:
    """Folder for downloads: ``$VCFE_BENCH_CACHE``, by default ``~/.cache/vcfe-bench``."""
    return Path(os.environ.get("VCFE_BENCH_CACHE") or Path.home() / ".cache" / "vcfe-bench")


def find(weights: Weights) -> Path:
    """The verified file: shipped, in an installed distribution, in a cache (ours, then torch's), or downloaded.

    Raises:
        WeightsUnavailable: it lies nowhere and cannot be downloaded.
        CorruptWeights: the first file found under its name has another checksum.
    """
    places = [ZOO / weights.name]
    if weights.distribution:
        with suppress(PackageNotFoundError):
            places.append(Path(str(distribution(weights.distribution).locate_file(weights.path))))
    places += [cache() / weights.name, Path(torch.hub.get_dir()) / "checkpoints" / weights.name]
    found = next((place for place in places if place.is_file()), None)
    return _verified(found, weights) if found else _download(weights)


def _verified(path: Path, weights: Weights) -> Path:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not actual.startswith(weights.sha256):
        raise CorruptWeights(
            f"{path} has SHA-256 {actual[:12]}…, not {weights.sha256[:12]}…: delete it and install or download it again"
        )
    return path


def _download(weights: Weights) -> Path:
    destination = cache() / weights.name
    if not weights.url:
        source = f"install {weights.distribution}" if weights.distribution else "reinstall vcfe-bench"
        raise WeightsUnavailable(f"{weights.name} is missing: {source}, or put the file at {destination}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(destination), hash_prefix=weights.sha256, progress=False)
    except OSError as error:
        raise WeightsUnavailable(
            f"{weights.name} is missing and {weights.url} cannot be reached ({getattr(error, 'reason', error)}): "
            f"put the file at {destination}"
        ) from error
    except RuntimeError as error:
        raise CorruptWeights(
            f"{weights.url} gave a file with another checksum: put the right one at {destination}"
        ) from error
    return destination


def load(weights: Weights) -> dict[str, Tensor]:
    """Find the file and read its tensors, on the CPU.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``find`` and ``read``.
    """
    return read(find(weights))


def read(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a ``.safetensors`` file, or of a ``torch.save`` file through torch's weights-only reader.

    Raises:
        CorruptWeights: the file is damaged, or holds anything but named tensors.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CorruptWeights(f"{path} cannot be read as weights: delete it and install or download it again") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CorruptWeights(f"{path} holds something else than named tensors: replace it by a state dictionary")
    return dict(state)


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Make ``state`` the weights of ``module`` (which may be on the meta device), frozen, in evaluation mode.

    Every name and shape has to match; types become those of ``state``.

    Raises:
        CorruptWeights: a name is missing or unknown, or a shape differs; ``source`` says what was read.
    """
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise CorruptWeights(f"{source} does not fit {type(module).__name__}: replace it by its weights") from error
    module.eval().requires_grad_(False)


def fingerprint(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """SHA-256 (64 hexadecimal digits) of the names, types, shapes and bytes of a state dictionary, sorted by name."""
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_FROM_BUFFER = np.empty(0).__reduce_ex__(5)[0]  # type: ignore[misc]
_CONSTRUCTORS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CONSTRUCTORS:
            raise pickle.UnpicklingError(f"{module}.{name} is neither an array nor a container")
        return _CONSTRUCTORS[module, name]


def read_array_pickle(path: Path) -> Any:
    """Content of a pickle (protocol 3 or newer) of nothing but NumPy arrays, numbers, text and plain containers.

    Raises:
        CorruptWeights: the file is damaged, or asks for anything else to be called.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CorruptWeights(f"{path} is not a plain pickle of arrays ({error}): do not use it") from error
