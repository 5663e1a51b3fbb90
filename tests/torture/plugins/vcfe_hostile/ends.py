"""Ways to end a process, to block it or to fill it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import Any


def _grow() -> int:
    return len([bytearray(os.urandom(2**20)) for _ in range(100_000)])


ENDS: dict[str, Callable[[], Any]] = {
    "quit": lambda: os._exit(7),
    "quit_0": lambda: os._exit(0),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(100_000),
    "grow": _grow,
}
