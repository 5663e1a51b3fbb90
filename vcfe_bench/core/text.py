"""Numbers as text."""

from __future__ import annotations


def number(value: float) -> str:
    """Three or four digits: 0.123, 12.3, 1,234."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"
