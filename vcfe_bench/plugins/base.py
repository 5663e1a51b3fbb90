"""What all plug-ins share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

from pydantic.dataclasses import dataclass as validated

T = TypeVar("T")


@validated(frozen=True, config={"extra": "forbid"})
class NoParams:
    """For a plug-in without parameters."""


class Plugin:
    """Anything the registry builds from a spec such as ``bttf[style=false]``.

    ``Params`` is a frozen pydantic dataclass with a default for every field; the registry fills it from
    the spec, passes it to the constructor and sets ``spec`` to the canonical spelling (parameters that
    differ from the defaults, sorted by name), which is the instance's name in every table.
    """

    Params: ClassVar[type] = NoParams
    spec: str = ""

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params


class Remembers:
    """Keeps what was found out about it as long as it lives, so that nothing is computed twice."""

    @cached_property
    def _found(self) -> dict[Hashable, Any]:
        return {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What ``find`` returned when it was first asked for under ``key``."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def shared(self, part: Callable[[Self], T]) -> T:
        """``part`` of this, computed once for all who ask for it."""
        return self.once(part, lambda: part(self))
