"""``vcfe-bench doctor``: the versions and devices of this installation, and whether each plug-in works in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vcfe_bench.authoring.conformance import DATASET
from vcfe_bench.core.environment import environment
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.registry import DATASETS, REGISTRIES


@dataclass(frozen=True)
class Part:
    """One part of the installation; ``problem`` is why it does not work, None where it does."""

    kind: str
    name: str
    about: str = ""
    problem: str | None = None


def examine() -> Iterator[Part]:
    """All parts of the installation: library versions, devices, plug-ins.

    Each plug-in is built with its default parameters, which reads the weights it needs. Metrics are checked for the
    dataset ``conformance.DATASET``, since some cannot be computed on others.
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
    world: Dataset = DATASETS.build(DATASET)
    for registry in REGISTRIES.values():
        for name in registry.names():
            yield Part(registry.kind, name, problem=_problem(registry.kind, name, world))


def _problem(kind: str, name: str, world: Dataset) -> str | None:
    try:
        plugin = REGISTRIES[f"{kind}s"].build(name)
        if kind == "metric":
            return plugin.unavailable(world)
        if kind == "dataset" and not plugin.target:
            return "has no default target: name one with --target"
    except UsageError as error:
        return str(error)
    return None
