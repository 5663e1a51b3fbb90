"""A worker process for single calls, which is started for the first of them and kept for the others."""

from __future__ import annotations

import atexit
import pickle
import sys
import threading
from collections.abc import Callable
from queue import Empty
from typing import Any

from vcfe_bench.core.errors import CallFailed, UsageError
from vcfe_bench.executors import parallel
from vcfe_bench.executors.interface import Limits, Lost
from vcfe_bench.executors.worker_process import START, TICK, Messages, WorkerProcess

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB", "BLIS")}
"""Environment variables of the process: what ``parallel.execute`` computes on one thread has the same bits there."""


class Standby:
    """Does one thing after another in a worker process, also for several threads, and replaces it where it is lost.

    A process is not closed between calls. What it was lost on is tried once more, in a new one, if the process had done
    something else before, which may have left it in a bad state; unless it took too long.
    """

    def __init__(self, work: Callable[[Any, Callable[[Any], None]], Any]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self._messages: Messages = Messages()
        self._worker: WorkerProcess | None = None

    def do(self, item: Any, limits: Limits) -> Any:
        """The result of the work on an item, or ``Lost``.

        Raises:
            CallFailed: nobody waits for the result of this thread any more.
            UsageError: no process can be started.
        """
        while not self._turn.acquire(timeout=TICK):
            _check_wanted()
        try:
            worker = self._started(limits)
            if isinstance(result := self._tried(worker, item, limits), Lost) and self._worker is None:
                again = worker.finished and not result.reason.startswith("not finished")
                return self._tried(self._started(limits), item, limits) if again else result
            return result
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _started(self, limits: Limits) -> WorkerProcess:
        if self._worker is None:
            atexit.unregister(self.close)
            atexit.register(self.close)
            self._worker = WorkerProcess(0, pickle.dumps(self._work), self._messages, variables=ONE_THREAD)
            self._answer(self._worker, Limits(START, limits.memory))
            self._worker.ready = True
        return self._worker

    def _tried(self, worker: WorkerProcess, item: Any, limits: Limits) -> Any:
        worker.give(0, item)
        answer = self._answer(worker, limits)
        if isinstance(answer, Lost):
            return answer
        worker.finish()
        if printed := worker.printed():
            print(printed, end="", file=sys.stderr)
        return pickle.loads(answer)

    def _answer(self, worker: WorkerProcess, limits: Limits) -> Any:
        """What the worker sends next; ``Lost`` if it is lost first."""
        try:
            while True:
                try:
                    sender, kind, content = self._messages.get(timeout=TICK)
                except Empty:
                    _check_wanted()
                    if reason := worker.too_late(limits.seconds) or worker.too_large(limits.memory):
                        return self._lost(worker, reason)
                    continue
                if sender is not worker or kind == "update":
                    continue
                if kind == "broken":
                    raise UsageError(content)
                return self._lost(worker, worker.end()) if kind == "ended" else content
        except BaseException:
            worker.kill()
            self.close()
            raise

    def _lost(self, worker: WorkerProcess, reason: str) -> Lost:
        self._worker = None
        return worker.lost(reason)


def _check_wanted() -> None:
    if parallel.stopped():
        raise CallFailed("interrupted")
