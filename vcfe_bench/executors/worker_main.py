"""The loop of a worker process, which talks to ``worker_process.WorkerProcess``.

The original standard input carries the work and then one item after another, the original standard output carries what
is sent back, all as pickles. For the work itself, standard input is empty, and what it prints goes to standard error.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.executors.interface import Lost

UPDATE_INTERVAL = 0.05
"""Seconds between two updates that are sent; those in between are dropped."""


def main() -> None:
    """Receive the work, then work on items until standard input ends."""
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    channel = _Channel(outgoing)
    try:
        work = pickle.load(incoming)
    except BaseException as error:
        channel.send("broken", str(error) if isinstance(error, UsageError) else describe(error))
        _leave(1)
    channel.send("ready")
    for item in iter(_received(incoming).get, None):
        channel.send("done", _result(work, item, channel.updates()))


class _Channel:
    """Sends messages to the parent; a process that was forked by the work ends instead."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.owner, self.lock = stream, os.getpid(), threading.Lock()

    def send(self, kind: str, content: Any = None) -> None:
        if os.getpid() != self.owner:
            os._exit(0)
        message = pickle.dumps((kind, content), pickle.HIGHEST_PROTOCOL)
        with self.lock:
            self.stream.write(message)
            self.stream.flush()

    def updates(self) -> Callable[[Any], None]:
        """A function that sends updates, at most one per ``UPDATE_INTERVAL``."""
        due = 0.0

        def report(update: Any) -> None:
            nonlocal due
            if time.monotonic() >= due:
                self.send("update", update)
                due = time.monotonic() + UPDATE_INTERVAL

        return report


def _result(work: Any, item: Any, report: Callable[[Any], None]) -> bytes:
    """The pickled result of the work; its exceptions, and a result that cannot be pickled, become ``Lost``."""
    try:
        return pickle.dumps(work(item, report), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        return pickle.dumps(Lost(describe(error), traceback.format_exc()))
    finally:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()


def _received(stream: BinaryIO) -> SimpleQueue[Any]:
    """The items that arrive. The process ends when the stream does, also in the middle of an item."""
    items: SimpleQueue[Any] = SimpleQueue()

    def receive() -> None:
        while True:
            try:
                items.put(pickle.load(stream))
            except EOFError:
                _leave(0)

    threading.Thread(target=receive, daemon=True).start()
    return items


def _leave(code: int) -> None:
    """End at once, whatever threads the work has left behind."""
    sys.stderr.flush()
    os._exit(code)
