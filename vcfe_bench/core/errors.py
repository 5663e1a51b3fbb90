"""What a user did wrong, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """The message is one line for a person; the command line prints it and exits with code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a "no such name" message: the nearest known name, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(known)}" if known else "there are none"


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
