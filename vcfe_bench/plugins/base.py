"""Base classes shared by all plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

from pydantic.dataclasses import dataclass as validated

T = TypeVar("T")


@validated(frozen=True, config={"extra": "forbid"})
class NoParams:
    """Parameters of a plug-in that has none."""


class Plugin:
    """Base class of everything that the registry builds from a spec such as ``bttf[style=false]``.

    ``Params`` is a frozen pydantic dataclass in which every field has a default. The registry fills it from the spec,
    passes it to the constructor and sets ``spec`` to the canonical form: the parameters that differ from their
    defaults, sorted by name. The canonical spec identifies the instance in every table.
    """

    Params: ClassVar[type] = NoParams
    spec: str = ""

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params


class Memo:
    """Caches values derived from an object for as long as the object lives, so that none is computed twice."""

    @cached_property
    def _cache(self) -> dict[Hashable, Any]:
        return {}

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result of ``compute``, which is called only if nothing is cached under ``key``."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def shared(self, function: Callable[[Self], T]) -> T:
        """``function`` of this object, computed once and shared by all callers."""
        return self.cached(function, lambda: function(self))
