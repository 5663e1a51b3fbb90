"""How the command line ends: exit codes, signals, and errors on one line.

====  ==================================================================================================
0     everything that was asked for was made
1     something got worse or is damaged, or a requested method has no result at all
2     the user has to change something
70    an unforeseen error of the program
130   interrupted at the keyboard
143   ended by SIGTERM or SIGHUP, as clusters do
====  ==================================================================================================
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import FrameType
from typing import Any

from typer import Exit
from typer.core import TyperGroup

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.core.text import printable

INTERRUPTED, TERMINATED, UNFORESEEN = 130, 143, 70
DEBUG = "--debug"
RESUMED = ("run", "explain", "score", "tune", "train", "validate")
"""Commands that resume where they were interrupted."""
LONGEST = 500
"""Characters of an unforeseen error that are shown."""
_debug = ContextVar("debug", default=False)


class Terminated(KeyboardInterrupt):
    """A signal asks the process to end. Whatever handles an interrupt at the keyboard handles it as well."""


class Commands(TyperGroup):
    """All commands. An interrupted one prints one line that says how to go on."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            command = ctx.invoked_subcommand or ""
            _traceback()
            _say("interrupted" + "; run the same command again to resume" * (command in RESUMED))
            raise Exit(TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED) from None


def debugging() -> bool:
    """Whether tracebacks are to be shown, with ``--debug``."""
    return _debug.get()


def run(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Run the command of some arguments; its exit code. Errors are printed on one line.

    ``--debug``, at any place, shows tracebacks.
    """
    _debug.set(DEBUG in arguments)
    _handle_signals()
    try:
        app(args=[argument for argument in arguments if argument != DEBUG])
    except UsageError as error:
        _traceback()
        _say(_text(str(error), error))
        return error.exit_code
    except OSError as error:
        _traceback()
        where = f"{error.filename}: " if error.filename else ""
        _say(_text(f"{where}{error.strerror or error}", error))
        return UsageError.exit_code
    except Exception as error:
        _traceback()
        hint = "" if debugging() else "; the same command with --debug shows where"
        _say(_text(f"unforeseen error: {describe(error)[:LONGEST]}{hint}", error))
        return UNFORESEEN
    return 0


def _handle_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt the command, unless they are handled or ignored (``nohup``) already."""
    if threading.current_thread() is threading.main_thread():
        for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(number).name)


def _text(message: str, error: BaseException) -> str:
    """A message and the notes that were added to its exception."""
    return " ".join((message, *(f"({note})" for note in getattr(error, "__notes__", ()))))


def _say(text: str) -> None:
    print(f"vcfe-bench: {printable(text)}", file=sys.stderr)


def _traceback() -> None:
    if debugging():
        traceback.print_exc()
