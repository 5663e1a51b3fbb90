"""What of the benchmark works in this installation: versions, devices, and every plug-in with what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vcfe_bench.authoring.conformance import WORLD
from vcfe_bench.core.environment import environment
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.registry import DATASETS, REGISTRIES


@dataclass(frozen=True)
class Part:
    """One part of the installation: what it is, and why it does not work (None where it does)."""

    kind: str
    name: str
    about: str = ""
    lack: str | None = None


def examine() -> Iterator[Part]:
    """All parts. Plug-ins are built with their defaults, so weights that are needed are looked for and read.

    Metrics are put before the dataset ``conformance.WORLD``: some cannot be computed on others.
    """
    found = environment()
    for name, version in found["versions"].items():
        yield Part("version", name, str(version))
    machine = found["machine"]
    yield Part("device", "cpu", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB")
    for index in range(torch.cuda.device_count()):
        yield Part("device", f"cuda:{index}", torch.cuda.get_device_name(index))
    if torch.backends.mps.is_available():
        yield Part("device", "mps", "Apple GPU")
    world: Dataset = DATASETS.build(WORLD)
    for registry in REGISTRIES.values():
        for name in registry.names():
            yield Part(registry.kind, name, lack=_lack(registry.kind, name, world))


def _lack(kind: str, name: str, world: Dataset) -> str | None:
    try:
        plugin = REGISTRIES[f"{kind}s"].build(name)
        if kind == "metric":
            return plugin.unavailable(world)
        if kind == "dataset" and not plugin.target:
            return "has no target of its own: name one with --target"
    except UsageError as error:
        return str(error)
    return None
