"""Descriptions of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Listing:
    """Description of a registered plug-in, as ``vcfe-bench list`` shows it.

    Attributes:
        name: name of the entry point.
        distribution: distribution that registers it; empty if unknown.
        version: version of that distribution.
        file: source file; empty if it cannot be located.
        summary: first line of the class's docstring.
        parameters: defaults of the parameters by name, as they are written in a spec.
        presets: names of the presets of a method.
        error: why the plug-in cannot be loaded, or None.
    """

    name: str
    distribution: str
    version: str
    file: str
    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    presets: tuple[str, ...] = ()
    error: str | None = None
