"""What of a method can be tuned: the range of each parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RealRange:
    """Real numbers from ``low`` to ``high``; with ``log``, on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float | int) and self.low <= value <= self.high


@dataclass(frozen=True)
class IntegerRange:
    """Whole numbers from ``low`` to ``high``, both included; with ``log``, on a logarithmic scale."""

    low: int
    high: int
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True)
class Options:
    """One of several values without an order."""

    values: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values


Range = RealRange | IntegerRange | Options
SearchSpace = Mapping[str, Range]
"""Ranges by name of the parameter; the defaults of the parameters lie in them."""
MOST = 5
"""Number of parameters that a search space may have."""
