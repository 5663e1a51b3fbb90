"""Errors that the user can fix, and the wording of error messages."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable
from typing import ClassVar

from vcfe_bench.core.text import printable


class UsageError(Exception):
    """An error that the user can fix. The command line prints its one-line message and exits with its code."""

    exit_code: ClassVar[int] = 2


class NoResult(UsageError):
    """A method that was asked for has no result at all."""

    exit_code = 1


class CallFailed(Exception):
    """A call in another process has no result."""

    @classmethod
    def by(cls, description: str) -> CallFailed:
        """The failure by an exception there, which ``describe`` describes as that one: ``ValueError: not today``."""
        name, _, message = description.partition(": ")
        return type(name, (cls,), {})(message)


class WorkerLost(CallFailed):
    """The process ended, or had to be ended; the message says why."""


SHORTEST = 3
"""Characters from which on a word can be the beginning of the name that was meant."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint of an "unknown name" message: the most similar known name or, failing that, all of them."""
    known = sorted(known)
    begun = [name for name in known if name.lower().startswith(word.lower())] if len(word) >= SHORTEST else []
    close = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(known)}" if known else "there are none"


def describe(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    try:
        text = printable(str(error))
    except Exception:  # an exception of a plug-in whose text cannot be made
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def interrupts(error: BaseException) -> bool:
    """Whether an exception is an interrupt by the user, which arrives in the main thread and nowhere else."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
