"""Checkpoints as training frameworks write them: find the state dictionary of a network in a file, or say what differs.

A file is read without executing any of its content. Objects in it that are not tensors or plain containers (settings,
loggers, optimisers) are replaced by inert placeholders.
"""

from __future__ import annotations

import pickle
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vcfe_bench.core.mismatch import Mismatch
from vcfe_bench.core.text import some
from vcfe_bench.core.weights import CorruptWeights, WeightsUnavailable, unlike_weights, unreadable

DEPTH = 4
"""Levels of containers in which a state dictionary is searched."""
AVERAGED = frozenset({"ema", "averaged", "average", "avg", "swa"})
"""Words in names that mark averaged weights."""
WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Segments that ``torch.compile``, ``DataParallel`` and others put into names."""


class Placeholder:
    """Stands for an object of a class that is not read."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.content: Any = None

    def __setstate__(self, content: Any) -> None:
        self.content = content

    def __setitem__(self, key: Any, value: Any) -> None:
        """Items of a container class are not kept."""

    __hash__ = object.__hash__


@dataclass(frozen=True)
class Candidate:
    """Named tensors in a checkpoint.

    Attributes:
        place: where they are in the file, as a message calls it; empty for the file itself.
        state: the tensors under the names that they have in the network.
    """

    place: str
    state: Mapping[str, Tensor]

    @property
    def averaged(self) -> bool:
        """Whether the place is named like that of averaged weights."""
        return bool(AVERAGED & set(re.findall("[a-z]+", self.place.lower().replace("_", " "))))


def load_into(module: nn.Module, path: Path) -> None:
    """Fill ``module`` from the checkpoint at ``path``, freeze it and switch it to evaluation mode.

    A state dictionary is found at the top of the file, under a key of it (``state_dict``, ``model``, …), and behind a
    prefix of its names (``module.``, ``model.``, ``_orig_mod.``, …). Averaged weights (EMA) are used only where the
    file has no others; the choice is then printed on standard error.

    Raises:
        WeightsUnavailable: there is no such file.
        CorruptWeights: it cannot be read, or has no weights or several weights of this network.
    """
    content = read(path)
    found = list(_state_dictionaries(content))
    if not found:
        raise CorruptWeights(_without_tensors(path, content))
    own = _plain(module.state_dict())
    wanted = {name: module.state_dict()[key] for name, key in own.items()}
    compared = [(each, Mismatch.between(each.state, wanted)) for named in found for each in _unwrapped(named, own)]
    chosen = _chosen(_distinct([each for each, mismatch in compared if not mismatch]), path)
    if chosen is not None:
        module.load_state_dict({own[key]: value for key, value in chosen.state.items()}, assign=True)
    elif not any(_loaded(module, named.state) for named in found):
        compared.sort(key=lambda pair: -pair[1].matching)
        closest, mismatch = compared[0]
        tried = tuple(dict.fromkeys(each.place or "the file itself" for each, _ in compared))
        raise CorruptWeights(
            f"{path} does not fit {type(module).__name__}: {mismatch}"
            f"{f' in {closest.place}' if closest.place else ''}; tried: {some(tried)}; "
            "give weights of this network, or build the network that they belong to"
        )
    module.eval().requires_grad_(False)


def read(path: Path) -> Any:
    """The content of a ``.safetensors`` file or of a ``torch.save`` file, on the CPU.

    Raises:
        WeightsUnavailable: there is no such file.
        CorruptWeights: it cannot be read.
    """
    if path.is_dir():
        raise CorruptWeights(f"{path} is a folder: give the file with the weights in it")
    if not path.exists():
        raise WeightsUnavailable(f"there is no file {path}: give the checkpoint's path")
    with path.open("rb") as file:
        start = file.read(64)
    if reason := unlike_weights(start):
        raise CorruptWeights(f"{path} {reason}")
    try:
        if path.suffix == ".safetensors" or start[8:9] == b"{":
            return load_file(path)
        return _read_pickle(path)
    except Exception as error:  # a damaged file makes the unpickler of torch fail in any way
        raise unreadable(path, error) from error


def _read_pickle(path: Path) -> Any:
    """As ``torch.load`` with ``weights_only=True``, with placeholders for what that refuses."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise ValueError("it is a TorchScript archive")
    inert: dict[str, Any] = {}
    while True:
        with torch.serialization.safe_globals([(cls, name) for name, cls in inert.items()]):
            try:
                return torch.load(path, "cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                refused = re.search(r"GLOBAL ([\w.]+)", str(error))
                if refused is None or refused[1] in inert:
                    raise
        inert[refused[1]] = type(refused[1].rpartition(".")[2], (Placeholder,), {})


def _without_tensors(path: Path, content: Any) -> str:
    if isinstance(content, Placeholder) or any(isinstance(value, Placeholder) for value in _values(content)):
        objects = [content, *_values(content)]
        name = next(type(each).__name__ for each in objects if isinstance(each, Placeholder))
        return (
            f"{path} contains a pickled object of the class {name} instead of a state dictionary: "
            "load it where its code is installed, and save model.state_dict()"
        )
    keys = f" (it has {some(tuple(map(str, content)))})" if isinstance(content, Mapping) and content else ""
    return f"{path} contains something other than named tensors{keys}: save model.state_dict()"


def _values(content: Any) -> list[Any]:
    return list(content.values()) if isinstance(content, Mapping) else []


def _state_dictionaries(content: Any, place: str = "", depth: int = DEPTH) -> Iterator[Candidate]:
    """All groups of named tensors in nested mappings, outermost first."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield Candidate(place, tensors)
    for key, value in content.items():
        if not isinstance(value, Tensor) and "optim" not in str(key):
            yield from _state_dictionaries(value, f"{place}.{key}" if place else str(key), depth - 1)


def _unwrapped(named: Candidate, own: Mapping[str, str]) -> Iterator[Candidate]:
    """The tensors as they are, without the segments of wrappers, and under every prefix of a name of the network."""
    plain = _plain(named.state)
    wrapped = sorted({segment for key in named.state for segment in key.split(".")} & WRAPPERS)
    place = named.place
    if wrapped and any(name != key for name, key in plain.items()):
        yield named
        place = f"{place or 'the file'} without '{wrapped[0]}.'"
    state = {name: named.state[key] for name, key in plain.items()}
    yield Candidate(place, state)
    if "n_averaged" in state:
        averages = {key: value for key, value in state.items() if key != "n_averaged"}
        yield Candidate(f"{named.place or 'the file'} (averaged)", averages)
    names = list(own)[:1] + list(own)[-1:]
    prefixes = {key.removesuffix(name) for key in state for name in names if key.endswith(f".{name}")}
    for prefix in sorted(prefixes, key=lambda each: (each.count("."), each)):
        stripped = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        yield Candidate(f"{named.place or 'the file'} without '{prefix}'", stripped)


def _plain(names: Iterable[str]) -> dict[str, str]:
    """The names by themselves without the segments of wrappers; as they are, if two would then be the same."""
    keys = list(names)
    plain = {".".join(part for part in key.split(".") if part not in WRAPPERS) or key: key for key in keys}
    return plain if len(plain) == len(keys) else {key: key for key in keys}


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Without those whose tensors are the same as of one before."""
    kept: list[Candidate] = []
    for each in candidates:
        if not any(_same(each.state, other.state) for other in kept):
            kept.append(each)
    return kept


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _chosen(fitting: list[Candidate], path: Path) -> Candidate | None:
    """The only candidate; of several, the only one that is not averaged.

    Raises:
        CorruptWeights: the choice is not clear.
    """
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    places = [each.place or "the file itself" for each in fitting]
    current = [each for each in fitting if not each.averaged]
    if len(current) != 1:
        raise CorruptWeights(
            f"{path} contains several weights of this network ({some(tuple(places))}): save the ones you mean as a "
            "file of their own"
        )
    rest = ", ".join(place for place, each in zip(places, fitting, strict=True) if each is not current[0])
    print(
        f"{path}: the weights used are those of {current[0].place or 'the file itself'}, not those of {rest}; "
        "to use the latter, save them as a file of their own",
        file=sys.stderr,
    )
    return current[0]


def _loaded(module: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Fill the module if names and shapes are exactly its own, old formats of its layers included."""
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError:
        return False
    module.eval().requires_grad_(False)
    return True
