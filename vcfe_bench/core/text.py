"""Numbers and lists of names as text."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float) -> str:
    """Three or four digits: 0.123, 12.3, 1,234."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names, and the number of those left out.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
