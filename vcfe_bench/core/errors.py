"""Errors that the user can fix, and the wording of error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """An error that the user can fix. The command line prints its one-line message and exits with code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint of an "unknown name" message: the most similar known name or, failing that, all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(known)}" if known else "there are none"


def describe(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
