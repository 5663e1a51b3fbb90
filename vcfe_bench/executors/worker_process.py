"""A worker process as its parent sees it: started, given items, watched, ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil

from vcfe_bench.core.devices import RANK
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.interface import Lost

PROGRAM = "import sys; sys.path[:] = {path!r}; from vcfe_bench.executors.worker_main import main; main()"
OUTPUT = 4_000
"""Characters of a lost worker's output that are kept."""
TICK = 0.1
"""Seconds between two looks at the time and the memory that workers take."""
START = 3600.0
"""Seconds that a worker may take to start, and build the work."""
END = 5.0
"""Seconds that a worker without an item has to end by itself."""
STACKS = 0.2
"""Seconds that a worker has to write where it hangs."""

Messages = SimpleQueue[tuple["WorkerProcess", str, Any]]


class WorkerProcess:
    """A fresh interpreter that neither imports the caller's main module nor shares memory, locks or signals with it.

    Attributes:
        rank: number of the worker among those on this machine.
        place: of the item that it works on, or None.
        since: monotonic time at which it was started or got its item.
        ready: whether it has received the work.
        finished: number of items that it has finished.
    """

    def __init__(
        self,
        rank: int,
        work: bytes,
        messages: Messages,
        place: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start a process for some pickled work; ``messages`` gets what it sends, and ``("ended", None)`` at its end.

        ``place`` is that of the item that it shall get once it is ready, ``variables`` are added to its environment.
        """
        self.rank, self.place = rank, place
        self.since = time.monotonic()
        self.ready, self.finished = False, 0
        descriptor, self._printed = tempfile.mkstemp(prefix="vcfe-bench-worker-")
        os.close(descriptor)
        self._shown = 0
        with open(self._printed, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, **(variables or {}), RANK: str(rank)},
                start_new_session=True,  # an interrupt at the terminal is for the parent
            )
        threading.Thread(target=self._receive, args=(messages,), daemon=True).start()
        self._send(work)

    def give(self, place: int, item: Any) -> None:
        """Let it work on an item."""
        self.place, self.since = place, time.monotonic()
        self._send(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))

    def finish(self) -> None:
        """Note that it has finished its item."""
        self.place = None
        self.finished += 1

    def memory(self) -> int:
        """Resident bytes of the process and of those that it has started."""
        return sum(_resident(process) for process in self._family())

    def printed(self) -> str:
        """What the work has printed since the last call."""
        with open(self._printed, "rb") as output:
            output.seek(self._shown)
            content = output.read()
        self._shown += len(content)
        return content.decode(errors="replace")

    def last_output(self) -> str:
        """The end of all that the process has printed, where a crash leaves its traceback."""
        return Path(self._printed).read_text(errors="replace")[-OUTPUT:]

    def too_late(self, seconds: float | None) -> str:
        """Why the worker has to be ended if it takes more than some seconds for what it does now; empty if it does not.

        It then prints its stacks.
        """
        if seconds is None or time.monotonic() - self.since <= seconds:
            return ""
        self._write_stacks()
        return f"not finished after {seconds:g} s, the time limit"

    def too_large(self, limit: float) -> str:
        """Why the worker has to be ended if it takes more than ``limit`` bytes; empty if it does not."""
        return f"out of memory: more than {limit / 1e9:.1f} GB, the memory limit" if self.memory() > limit else ""

    def lost(self, reason: str) -> Lost:
        """End the process, which has not finished its item; the item has no result.

        Raises:
            UsageError: it had not even started.
        """
        self.kill()
        lost = Lost(reason, self.last_output())
        if not self.ready:
            lines = lost.details.strip().splitlines()
            raise UsageError(f"a worker process could not start: {reason}{f' ({lines[-1]})' if lines else ''}")
        self.close()
        return lost

    def _write_stacks(self) -> None:
        """Let it print the stack of every thread, where the system has the signal for that."""
        if hasattr(signal, "SIGUSR1") and self.ready:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(STACKS)

    def end(self) -> str:
        """How the process ended, on one line."""
        code = self._process.wait()
        if code >= 0:
            return f"the worker process exited with code {code}"
        with contextlib.suppress(ValueError):
            return f"the worker process was ended by {signal.Signals(-code).name}"
        return f"the worker process was ended by signal {-code}"

    def kill(self) -> None:
        """End the process and those that it has started, at once. What it has printed can be read until ``close``."""
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process; one that is ready and has no item may end by itself."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        if self.place is None and self.ready:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END)
        self.kill()
        Path(self._printed).unlink(missing_ok=True)

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    def _send(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # the end of the process is told by ``("ended", None)``
            self._stdin.write(content)
            self._stdin.flush()

    def _receive(self, messages: Messages) -> None:
        stream: Any = self._process.stdout
        try:
            while True:
                messages.put((self, *pickle.load(stream)))
        except Exception:  # the stream has ended, or holds something that no worker sends
            messages.put((self, "ended", None))

    def _family(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [*process.children(recursive=True), process]
        except psutil.Error:
            return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
