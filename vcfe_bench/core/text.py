"""Numbers and lists of names as text."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """Text on one line, in which signs that a terminal obeys (escapes, changes of direction) are written out.

    >>> printable("red \\x1b[31m\\nline")
    'red \\\\x1b[31m line'
    """
    return "".join(sign if sign.isprintable() else _written(sign) for sign in " ".join(text.split()))


def _written(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def in_markdown(text: str) -> str:
    """Text that neither ends the cell of a Markdown table nor starts an HTML tag.

    >>> in_markdown("a|<b>")
    'a\\\\|&lt;b>'
    """
    return printable(text).replace("<", "&lt;").replace("|", "\\|")


def number(value: float) -> str:
    """Three or four digits: 0.123, 12.3, 1,234."""
    size = abs(value)
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Two or three digits and a unit: 0.19 s, 96 s, 12 min, 1.8 h, 180 h."""
    size, unit = next((one for one in ((1, "s"), (60, "min")) if seconds / one[0] < 99.5), (3600, "h"))
    value = seconds / size
    digits = 2 if value < 1 else 1 if value < 9.95 else 0
    return f"{value:,.{digits}f} {unit}"


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names, and the number of those left out.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
