"""``vcfe-bench doctor``: the versions and devices of this installation, and whether each plug-in works in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from vcfe_bench.core import weights
from vcfe_bench.core.environment import environment
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.registry import DATASETS, REGISTRIES

WORLD = "shape_moving"
"""The dataset for which metrics are checked."""
Need = Literal["", "target", "parameter", "download", "dataset", "repair"]
"""What a plug-in needs to work: a ``--target``; a parameter; weights that are downloaded on first use; another dataset
than ``WORLD``; or something that only its message says."""


@dataclass(frozen=True)
class Part:
    """One part of the installation; ``problem`` is why it does not work, None where it does."""

    kind: str
    name: str
    about: str = ""
    problem: str | None = None
    need: Need = ""


def examine() -> Iterator[Part]:
    """All parts of the installation: library versions, devices, plug-ins.

    Each plug-in is built with its default parameters, which reads the weights it needs; nothing is downloaded. Metrics
    are checked for the dataset ``WORLD``, since some cannot be computed on others.
    """
    current = environment()
    for name, version in current["versions"].items():
        yield Part("version", name, str(version))
    machine = current["machine"]
    yield Part("device", "cpu", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB")
    for index in range(torch.cuda.device_count()):
        yield Part("device", f"cuda:{index}", torch.cuda.get_device_name(index))
    if torch.backends.mps.is_available():
        yield Part("device", "mps", "Apple GPU")
    world: Dataset = DATASETS.build(WORLD)
    with weights.no_downloads():
        for registry in REGISTRIES.values():
            for name in registry.names():
                problem, need = _problem(registry.kind, name, world)
                yield Part(registry.kind, name, problem=problem, need=need)


def _problem(kind: str, name: str, world: Dataset) -> tuple[str | None, Need]:
    registry = REGISTRIES[f"{kind}s"]
    try:
        registry.load(name)
    except UsageError as error:
        return str(error), "repair"
    try:
        plugin = registry.build(name)
    except weights.NotDownloaded as error:
        return str(error), "download"
    except weights.WeightsError as error:
        return str(error), "repair"
    except UsageError as error:
        return str(error), "parameter"
    if kind == "dataset" and not plugin.target:
        return "has no default target: name one with --target", "target"
    reason = plugin.unavailable(world) if kind == "metric" else None
    if reason is None:
        return None, ""
    if weights.ON_FIRST_USE in reason:
        return reason, "download"
    return reason, "dataset" if "the dataset" in reason else "repair"
