"""Work for executors that needs no network: most of it goes wrong on an item of its own name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROKEN: dict[Any, str | tuple[str, ...]] = {
    "exit": "SystemExit: 3",
    "exit 0": "SystemExit: 0",
    "interrupt": "KeyboardInterrupt",
    "error": "ValueError: not today",
    "lambda": ("AttributeError: Can't pickle", "PicklingError: Can't pickle"),
    "leave": "the worker process exited with code 7",
    "leave 0": "the worker process exited with code 0",
    "abort": "the worker process was ended by SIGABRT",
    "crash": "the worker process was ended by SIGSEGV",
    "stop": "the worker process exited with code 5",
}
"""The items that have no result, and how the reason begins."""


def behave(item: Any, report: Callable[[Any], None]) -> Any:
    """The square of a number; for a word, something else."""
    match item:
        case "exit":
            sys.exit(3)
        case "exit 0":
            sys.exit(0)
        case "interrupt":
            raise KeyboardInterrupt
        case "error":
            raise ValueError("not today")
        case "lambda":
            return lambda: 0
        case "leave" | "leave 0":
            os._exit(0 if item == "leave 0" else 7)
        case "abort":
            os.abort()
        case "crash":
            ctypes.string_at(0)
        case "stop":
            threading.Thread(target=lambda: os._exit(5)).start()
            time.sleep(60)
        case "hang":
            time.sleep(600)
        case "hang deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case "grow":
            hoard = [bytearray(os.urandom(2**20)) for _ in range(10_000)]
            return len(hoard)
        case "fork":
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return "forked"
        case "print":
            print("printed")
            return sys.stdin.read()
        case "thread":
            threading.Thread(target=lambda: time.sleep(600)).start()
            return "left a thread"
        case "closed":
            sys.stdout.close()
            return "closed"
    report(item)
    return item**2


def echoed(item: Any, report: Callable[[Any], None]) -> tuple[Any, float]:
    """The item, and the processor time of this process so far."""
    return item, time.process_time()


def die_later(item: Any, report: Callable[[Any], None]) -> Any:
    """On the item 0, prepare the death of the process during the next one."""
    if item == 0:
        threading.Timer(0.2, lambda: os._exit(1)).start()
    else:
        time.sleep(0.4)
    return item


class Counted:
    """Says how often it was built, by files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int, report: Callable[[Any], None]) -> int:
        time.sleep(0.1)
        return os.getpid()

    def __reduce__(self) -> Any:
        return _built, (self.folder,)


def _built(folder: Path) -> Counted:
    (folder / str(os.getpid())).touch()
    return Counted(folder)


class Unbuildable:
    """Cannot be built in a worker: ``how`` is an exception with a message, or an exit code."""

    def __init__(self, how: Exception | int) -> None:
        self.how = how

    def __call__(self, item: Any, report: Callable[[Any], None]) -> Any:
        raise AssertionError

    def __reduce__(self) -> Any:
        return _fail, (self.how,)


def _fail(how: Exception | int) -> Unbuildable:
    if isinstance(how, int):
        os._exit(how)
    raise how
