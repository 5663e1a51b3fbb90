"""The registry of plug-ins: entry points by kind, loaded when asked for, built from specs.

A plug-in is any class that a distribution registers under ``vcfe_bench.methods``, ``.datasets``, ``.targets``,
``.generators`` or ``.metrics``. Nothing is imported before it is named, and one that does not import is listed with its
error.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from vcfe_bench.core import devices
from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.base import Plugin
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.metric import Metric, PairMetric, SampleMetric, SetMetric
from vcfe_bench.plugins.source import source_file
from vcfe_bench.plugins.target import Target

P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Listing:
    """One registered plug-in as people see it.

    ``distribution`` and ``version`` say who registered it, ``file`` where it lives; ``error`` is why it does not
    import, or None.
    """

    name: str
    distribution: str
    version: str
    file: str
    summary: str = ""
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    presets: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Registry(Generic[P]):
    """All plug-ins of one kind. ``bases`` are the interfaces of which a plug-in must implement one."""

    kind: str
    bases: tuple[type, ...]

    def names(self) -> list[str]:
        return sorted(_entries(self.kind))

    def load(self, name: str) -> type[P]:
        """The class registered under ``name``.

        Raises:
            UsageError: no such plug-in, or several, or it does not import or is not of this kind.
        """
        entries = _entries(self.kind)
        if name not in entries:
            raise UsageError(f"unknown {self.kind} '{name}'; {nearest(name, entries)}")
        first, *others = entries[name]
        if others:
            known = ", ".join(entry.value for entry in entries[name])
            raise UsageError(f"{self.kind} '{name}' is registered more than once: {known}")
        try:
            return self._load(first)
        except Exception as error:
            raise UsageError(f"{self.kind} '{name}' is broken: {describe(error)}") from error

    def build(self, spec: str, preset: str | None = None) -> P:
        """The plug-in that ``spec`` describes, with its canonical spec set; ``preset`` fills what the spec leaves open.

        Raises:
            UsageError: unknown or broken plug-in, unknown parameter, bad value, or a constructor that fails.
        """
        name, given = specs.parse(spec)
        cls = self.load(name)
        presets: Mapping[str, Mapping[str, Any]] = getattr(cls, "presets", {})
        params = self.parameters(cls, name, {**presets.get(preset or "", {}), **given})
        try:
            plugin = cls(params)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{self.kind} '{spec}' cannot be built: {describe(error)}") from error
        plugin.spec = specs.format(name, _changed(params))
        return plugin

    def listings(self) -> list[Listing]:
        """Every registered plug-in, broken ones with their error."""
        return [self._listing(entry) for name in self.names() for entry in _entries(self.kind)[name]]

    def _load(self, entry: EntryPoint) -> type[P]:
        cls = entry.load()
        if not (isinstance(cls, type) and issubclass(cls, self.bases)):
            raise TypeError(f"{entry.value} is not a {' or '.join(base.__name__ for base in self.bases)}")
        return cls  # type: ignore[return-value]

    def parameters(self, cls: type[P], name: str, values: Mapping[str, Any]) -> Any:
        """``Params`` of the plug-in called ``name``, filled from ``values``.

        Raises:
            UsageError: unknown parameter or bad value.
        """
        known = [field.name for field in dataclasses.fields(cls.Params)]
        for key in values:
            if key not in known:
                raise UsageError(f"{self.kind} '{name}' has no parameter '{key}'; {nearest(key, known)}")
        try:
            return cls.Params(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its parameters"
            raise UsageError(f"{self.kind} '{name}': {where}={first['input']}: {first['msg']}") from None

    def _listing(self, entry: EntryPoint) -> Listing:
        dist = entry.dist
        base = Listing(entry.name, dist.name if dist else "", dist.version if dist else "", source_file(entry.module))
        try:
            cls = self._load(entry)
            parameters = _dump(cls.Params())
        except Exception as error:
            return dataclasses.replace(base, error=describe(error))
        return dataclasses.replace(
            base,
            summary=(cls.__doc__ or "").strip().split("\n")[0],
            parameters={key: specs.format_value(value) for key, value in parameters.items()},
            presets=tuple(getattr(cls, "presets", {})),
        )


METHODS: Registry[Method] = Registry("method", (Method,))
DATASETS: Registry[Dataset] = Registry("dataset", (Dataset,))
TARGETS: Registry[Target] = Registry("target", (Target,))
GENERATORS: Registry[Generator] = Registry("generator", (Generator,))
METRICS: Registry[Metric] = Registry("metric", (SampleMetric, SetMetric, PairMetric))  # type: ignore[type-var]
REGISTRIES: Mapping[str, Registry[Any]] = {
    f"{registry.kind}s": registry for registry in (METHODS, DATASETS, TARGETS, GENERATORS, METRICS)
}
"""Registries by the word people use: ``methods``, ``datasets``, …"""


def frozen_target(spec: str) -> Target:
    """The target of a spec on the default device, in evaluation mode.

    Raises:
        UsageError: there is none, or it cannot be built.
    """
    return TARGETS.build(spec).to(devices.default()).eval().requires_grad_(False)


@functools.cache
def _entries(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points by name; several only where different things are registered under one name."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=f"vcfe_bench.{kind}s"):
        found.setdefault(entry.name, {}).setdefault(entry.value, entry)
    return {name: tuple(entries.values()) for name, entries in found.items()}


def _dump(params: Any) -> dict[str, Any]:
    return TypeAdapter(type(params)).dump_python(params, mode="json")


def _changed(params: Any) -> dict[str, Any]:
    defaults = _dump(type(params)())
    return {key: value for key, value in _dump(params).items() if value != defaults[key]}
