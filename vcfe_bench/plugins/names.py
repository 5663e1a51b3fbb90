"""Names of the registered plug-ins, read from entry points without importing any of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import specs

KINDS = ("method", "dataset", "target", "generator", "metric")


@functools.cache
def entries(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points by name; more than one for a name only if different objects are registered under it."""
    groups: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=f"vcfe_bench.{kind}s"):
        groups.setdefault(entry.name, {}).setdefault(entry.value, entry)
    return {name: tuple(entries.values()) for name, entries in groups.items()}


def names(kind: str) -> list[str]:
    """Names of all registered plug-ins of a kind, sorted."""
    return sorted(entries(kind))


def check(kind: str, chosen: Iterable[str | None]) -> None:
    """Check the names in some specs, so that a mistyped one is told before anything is imported.

    Raises:
        UsageError: a spec is malformed, or no plug-in has its name.
    """
    known = entries(kind)
    for spec in chosen:
        name = specs.parse(spec)[0] if spec else None
        if name is not None and name not in known and not (kind == "generator" and name == "none"):
            raise UsageError(f"unknown {kind} '{name}'; {nearest(name, known)}")
