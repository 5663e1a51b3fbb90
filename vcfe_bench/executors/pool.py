"""The executor that uses worker processes on this machine, and replaces those that die, hang or grow.

Workers are started as commands and talk through pipes of their own. The pools of the standard library start workers
that import the main module of the caller, which starts a run again if it is a script without a guard; and where workers
share a queue, one that is killed while it holds the lock stops all others.
"""

from __future__ import annotations

import pickle
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Any

import psutil

from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.interface import SHARE, Executor, I, Limits, Lost, Needs, Options, R, Watcher, Work
from vcfe_bench.executors.worker_process import START, TICK, Messages, WorkerProcess


@dataclass(frozen=True)
class Pool(Executor):
    """Worker processes on this machine, each of which works on one item at a time.

    The item that a worker was lost on has no result. If that worker had worked on others before, which may have left it
    in a bad state, the item is tried once more, in a new worker; unless it took too long.

    Attributes:
        jobs: number of workers.
        timeout: seconds that an item may take; by default what its ``Needs`` say.
        memory: resident bytes that a worker may take; by default an equal part of ``SHARE`` of the machine's memory.
    """

    jobs: int = 1
    timeout: float | None = None
    memory: float | None = None

    @classmethod
    def configured(cls, options: Options) -> Pool:
        if options.given("address"):
            raise UsageError("--address is that of a cluster: choose it with --executor ray")
        return cls(options.jobs or 1, options.timeout, options.memory)

    def execute(
        self, work: Work[I, R], items: Sequence[I], needs: Sequence[Needs], watcher: Watcher
    ) -> Generator[tuple[int, R | Lost], None, None]:
        if not items:
            return
        crew = _Crew(self, pickle.dumps(work), items, needs, watcher)
        try:
            while crew.unfinished():
                yield from crew.step()
        finally:
            crew.close()

    def of_calls(self) -> Limits:
        given = {"seconds": self.timeout, "memory": self.memory}
        return Limits(**{name: value for name, value in given.items() if value is not None})

    @property
    def limit(self) -> float:
        """Resident bytes that a worker may take."""
        return self.memory or SHARE * psutil.virtual_memory().total / self.jobs


class _Crew:
    """The workers of one call of ``execute``, and what is left to do."""

    def __init__(self, pool: Pool, work: bytes, items: Sequence[Any], needs: Sequence[Needs], watcher: Watcher) -> None:
        self.pool, self.work, self.items, self.needs, self.watcher = pool, work, items, needs, watcher
        self.messages: Messages = Messages()
        self.waiting = deque(range(len(items)))
        self.retried: set[int] = set()
        self.workers: dict[int, WorkerProcess] = {}
        """By rank."""
        self.looked = time.monotonic()
        for rank in range(min(pool.jobs, len(items))):
            self._start(rank)

    def unfinished(self) -> bool:
        return bool(self.waiting) or any(worker.place is not None for worker in self.workers.values())

    def step(self) -> Iterator[tuple[int, Any]]:
        """Handle what a worker has sent, and look at the limits of all of them every ``TICK`` seconds."""
        try:
            worker, kind, content = self.messages.get(timeout=TICK)
        except Empty:
            pass
        else:
            if self.workers.get(worker.rank) is worker:
                yield from self._handle(worker, kind, content)
        if time.monotonic() - self.looked > TICK:
            self.looked = time.monotonic()
            for worker in list(self.workers.values()):
                yield from self._check(worker)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def _handle(self, worker: WorkerProcess, kind: str, content: Any) -> Iterator[tuple[int, Any]]:
        place = worker.place
        if kind == "broken":
            raise UsageError(content)
        if kind == "ready":
            worker.ready = True
            if place is None:
                self._give_next(worker)
            else:
                self._give(worker, place)
        elif kind == "ended":
            yield from self._lose(worker, worker.end())
        elif place is not None and kind == "update":
            self.watcher.reported(place, content)
        elif place is not None and kind == "done":
            worker.finish()
            if printed := worker.printed():
                print(printed, end="", file=sys.stderr)
            self._give_next(worker)  # before the caller handles the result, so that the worker does not wait
            yield place, pickle.loads(content)

    def _start(self, rank: int, place: int | None = None) -> None:
        """Start a worker, which begins with the item at ``place``."""
        self.workers[rank] = WorkerProcess(rank, self.work, self.messages, place)

    def _give_next(self, worker: WorkerProcess) -> None:
        if self.waiting:
            self._give(worker, self.waiting.popleft())

    def _give(self, worker: WorkerProcess, place: int) -> None:
        worker.give(place, self.items[place])
        self.watcher.began(place)

    def _check(self, worker: WorkerProcess) -> Iterator[tuple[int, Any]]:
        """Lose a worker that exceeds a limit."""
        if worker.place is None and worker.ready:
            return
        if reason := worker.too_late(self._timeout(worker)):
            yield from self._lose(worker, reason, retry=False)
        elif reason := worker.too_large(self.pool.limit):
            yield from self._lose(worker, reason)

    def _timeout(self, worker: WorkerProcess) -> float | None:
        """Seconds that a worker may take for what it does now."""
        if not worker.ready or worker.place is None:
            return START
        return self.pool.timeout or self.needs[worker.place].seconds

    def _lose(self, worker: WorkerProcess, reason: str, retry: bool = True) -> Iterator[tuple[int, Lost]]:
        """End a worker and start another where one is needed; the item that it worked on is tried again or lost."""
        place = worker.place
        lost = worker.lost(reason)
        del self.workers[worker.rank]
        if place is not None and retry and worker.finished and place not in self.retried:
            self.retried.add(place)
            self._start(worker.rank, place)
            return
        if self.waiting:
            self._start(worker.rank)
        if place is not None:
            yield place, lost
