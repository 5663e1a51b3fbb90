"""Any ``torch.nn.Module`` as a target, given by import path and checkpoint."""

from __future__ import annotations

import importlib
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.core import checkpoints
from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.models.clip_target import ClipTarget, centred, normalised, read_classes
from vcfe_bench.models.video_swin import IMAGENET_MEAN, IMAGENET_STD
from vcfe_bench.plugins.code.project import Project
from vcfe_bench.plugins.source import DISTRIBUTION, identity

Channels = tuple[float, float, float]


@validated(frozen=True, config={"extra": "forbid"})
class ModuleParams:
    """``build``: import path ``package.module:name`` of a network, or of a callable without arguments that returns one.

    The network takes ``[B, 3, frames, size, size]`` and returns ``[B, K]``: logits, or one value. ``weights``: its
    checkpoint, as safetensors or written by ``torch.save``; empty for the network as built. ``classes``: a text
    file with one name per line; empty for numbered classes. ``mean``, ``std``: of pixels in [0, 1], by channel.
    """

    build: str = ""
    weights: str = ""
    classes: str = ""
    frames: int = Field(default=16, ge=1)
    size: int = Field(default=112, ge=1)
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD


class ModuleTarget(ClipTarget):
    """Your own network, given by import path and checkpoint.

    The fingerprint covers the weights, the preprocessing and the source of the package that builds the network.
    """

    Params = ModuleParams
    params: ModuleParams

    def __init__(self, params: ModuleParams | None = None) -> None:
        params = params or ModuleParams()
        if min(params.std) <= 0:
            raise UsageError(f"std is {params.std}: every channel's has to be positive")
        builder = _imported(params.build)
        network = _built(builder, params.build)
        if params.weights:
            checkpoints.load_into(network, Path(params.weights))
        classes = read_classes(params.classes) if params.classes else ()
        clip = (params.frames, params.size, params.size)
        super().__init__(params, network, clip, classes, (params.mean, params.std, _code_of(params.build)))

    def preprocess(self, video: Tensor) -> Tensor:
        return normalised(centred(video, self.params.size), self.params.mean, self.params.std)


def _imported(path: str) -> Any:
    """The object at ``package.module:name``; the current folder is searched last."""
    module, _, name = path.partition(":")
    if not module or not name:
        raise UsageError(f"build={path} is not of the form package.module:name, e.g. my_pkg.models:build")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot import {module} from here: {describe(error)}") from error
    try:
        return attrgetter(name)(imported)
    except AttributeError:
        raise UsageError(f"{module} has no '{name}'; {nearest(name, vars(imported))}") from None


def _code_of(path: str) -> str:
    """Identity of the code that builds the network, read again for every target: it may change within a process."""
    module, _, name = path.partition(":")
    return identity(Project(frozenset((module.partition(".")[0], *DISTRIBUTION))), module, name)


def _built(builder: Any, path: str) -> nn.Module:
    try:
        network = builder if isinstance(builder, nn.Module) else builder()
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}() failed: {describe(error)}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{path} returned a {type(network).__name__}, not a torch.nn.Module")
    return network
