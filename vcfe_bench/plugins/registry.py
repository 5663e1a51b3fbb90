"""Registry of plug-ins: entry points by kind, loaded on first use and built from specs.

A plug-in is a class that a distribution registers in the entry-point group ``vcfe_bench.methods``, ``.datasets``,
``.targets``, ``.generators`` or ``.metrics``. A plug-in is imported only when it is requested; one whose import fails
is listed with its error, also if it exits the interpreter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from vcfe_bench.core import devices
from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.core.garbage import uncollected
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.base import Plugin
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.listing import Listing
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.metric import Metric, PairMetric, SampleMetric, SetMetric
from vcfe_bench.plugins.names import entries as _entries
from vcfe_bench.plugins.source import source_file
from vcfe_bench.plugins.target import Target

P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Registry(Generic[P]):
    """All plug-ins of one kind.

    Attributes:
        kind: ``method``, ``dataset``, ``target``, ``generator`` or ``metric``.
        bases: base classes; a plug-in has to be a subclass of one of them.
    """

    kind: str
    bases: tuple[type, ...]

    def names(self) -> list[str]:
        """Names of all registered plug-ins, sorted; including those that cannot be loaded."""
        return sorted(_entries(self.kind))

    def load(self, name: str) -> type[P]:
        """The class registered under ``name``.

        Raises:
            UsageError: there is no such plug-in, there are several, or it cannot be imported or is not of this kind.
        """
        entries = _entries(self.kind)
        if name not in entries:
            raise UsageError(f"unknown {self.kind} '{name}'; {nearest(name, entries)}")
        if len(entries[name]) > 1:
            known = ", ".join(entry.value for entry in entries[name])
            raise UsageError(f"{self.kind} '{name}' is registered more than once: {known}")
        try:
            return self._load(entries[name][0])
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self.kind} '{name}' cannot be loaded: {describe(error)}") from error

    def build(self, spec: str, preset: str | None = None, target: str = "") -> P:
        """The plug-in that ``spec`` describes, with its canonical spec set.

        Parameters that the spec does not name are taken from ``preset``, if the plug-in has a preset of that name. If
        there is one for the target, ``PRESET_TARGET`` with the name in the spec ``target``, it is used instead.

        Raises:
            UsageError: the plug-in cannot be loaded, a parameter is unknown or invalid, or the constructor fails.
        """
        name, values = specs.parse(spec)
        cls = self.load(name)
        presets: Mapping[str, Mapping[str, Any]] = getattr(cls, "presets", {})
        chosen = presets.get(f"{preset}_{specs.parse(target)[0]}" if target else "", presets.get(preset or "", {}))
        params = self.parameters(cls, name, {**chosen, **values})
        try:
            plugin = cls(params)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self.kind} '{spec}' cannot be built: {describe(error)}") from error
        plugin.spec = specs.format(name, _changed(params))
        return plugin

    def listings(self) -> list[Listing]:
        """Descriptions of all registered plug-ins; those that cannot be loaded carry their error."""
        return [self._listing(entry) for name in self.names() for entry in _entries(self.kind)[name]]

    def _load(self, entry: EntryPoint) -> type[P]:
        with uncollected():
            cls = entry.load()
        if not (isinstance(cls, type) and issubclass(cls, self.bases)):
            raise TypeError(f"{entry.value} is not a {' or '.join(base.__name__ for base in self.bases)}")
        return cast("type[P]", cls)

    def parameters(self, cls: type[P], name: str, values: Mapping[str, Any]) -> Any:
        """``Params`` of the plug-in ``name``, filled from ``values``.

        Raises:
            UsageError: a parameter is unknown or its value is invalid.
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
        except (Exception, SystemExit) as error:
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
METRICS: Registry[Metric] = Registry("metric", (SampleMetric, SetMetric, PairMetric))
REGISTRIES: Mapping[str, Registry[Any]] = {
    f"{registry.kind}s": registry for registry in (METHODS, DATASETS, TARGETS, GENERATORS, METRICS)
}
"""Registries by plural name: ``methods``, ``datasets``, …"""


def frozen_target(spec: str) -> Target:
    """The target of a spec, frozen, in evaluation mode and on the default device.

    Raises:
        UsageError: there is no such target, or it cannot be built.
    """
    return TARGETS.build(spec).to(devices.default()).eval().requires_grad_(False)


def _dump(params: Any) -> dict[str, Any]:
    """Parameters by name, as JSON values."""
    return TypeAdapter(type(params)).dump_python(params, mode="json")


def _changed(params: Any) -> dict[str, Any]:
    """Parameters that differ from their defaults."""
    defaults = _dump(type(params)())
    return {key: value for key, value in _dump(params).items() if value != defaults[key]}
