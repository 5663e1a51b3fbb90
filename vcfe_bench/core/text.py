"""Numbers as people compare them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three or four digits, as people compare them."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"
