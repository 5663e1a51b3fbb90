"""The executor that uses actors on a Ray cluster: a worker each, on any node, for one item at a time.

Results come back to this process, which alone stores them. A node may leave at any time, as spot machines do: what its
workers were doing is done again elsewhere. The extra ``ray`` installs what is needed.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.executors import choice
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor, I, Lost, Needs, Options, R, Watcher, Work

TICK = 0.2
"""Seconds between two looks at the time that workers take."""
ATTEMPTS = 2
"""How many workers may be lost on an item before it is given up; those on nodes that are lost do not count."""
PREFIX = "VCFE_BENCH_"
"""Environment variables that workers inherit begin with it."""


class _Actor:
    """A worker: builds the work, then works on items."""

    def prepare(self, work: bytes, variables: dict[str, str]) -> tuple[str, str]:
        """Build the work; the node that this is on, and why it cannot be built, or nothing."""
        choice.DEFAULT = InProcess()  # workers start no workers
        os.environ.update(variables)
        node = ray.get_runtime_context().get_node_id()
        try:
            self.work = pickle.loads(work)
        except BaseException as error:
            return node, str(error) if isinstance(error, UsageError) else describe(error)
        return node, ""

    def run(self, item: bytes) -> bytes:
        """The pickled result of an item, or a pickled ``Lost``."""
        try:
            return pickle.dumps(self.work(pickle.loads(item), lambda update: None), pickle.HIGHEST_PROTOCOL)
        except BaseException as error:
            return pickle.dumps(Lost(describe(error), traceback.format_exc()))


@dataclass(frozen=True)
class RayCluster(Executor):
    """Workers on a Ray cluster. Updates of items are not shown.

    Attributes:
        jobs: number of workers; by default as many as the processors and GPUs of the cluster allow at the start.
        timeout: seconds that an item may take; by default what its ``Needs`` say.
        memory: bytes that Ray reserves for a worker; by default what the ``Needs`` of its items say.
        address: of the cluster, ``auto`` for that of this machine; by default a new one on this machine.
    """

    jobs: int | None = None
    timeout: float | None = None
    memory: float | None = None
    address: str | None = None

    @classmethod
    def configured(cls, options: Options) -> RayCluster:
        return cls(options.jobs, options.timeout, options.memory, options.address)

    def execute(
        self, work: Work[I, R], items: Sequence[I], needs: Sequence[Needs], watcher: Watcher
    ) -> Generator[tuple[int, R | Lost], None, None]:
        started = not ray.is_initialized()
        if started:
            self._connect()
        try:
            groups: dict[tuple[float, float, float | None], list[int]] = {}
            for place, need in enumerate(needs):
                groups.setdefault((need.cpus, need.gpus, need.memory), []).append(place)
            for places in groups.values():
                yield from self._execute(pickle.dumps(work), items, places, needs, watcher)
        finally:
            if started:
                ray.shutdown()

    def _connect(self) -> None:
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except ValueError:  # an existing cluster takes no settings for a new one
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise UsageError(f"no Ray cluster at --address {self.address}: {describe(error)}") from None

    def _execute(
        self, work: bytes, items: Sequence[Any], places: Sequence[int], needs: Sequence[Needs], watcher: Watcher
    ) -> Iterator[tuple[int, Any]]:
        """The results of the items at ``places``, whose needs are the same."""
        crew = _Crew(self, work, items, needs, watcher, deque(places))
        try:
            for _ in range(min(self.jobs or _room(needs[places[0]]), len(places))):
                crew.start()
            while crew.waiting or any(worker.place is not None for worker in crew.calls.values()):
                yield from crew.step()
        finally:
            for worker in [*crew.calls.values(), *crew.idle]:
                ray.kill(worker.actor)


@dataclass(eq=False)
class _Worker:
    """An actor: the item that it works on, since when, its node, and how many items it has finished."""

    actor: Any
    place: int | None = None
    since: float = field(default_factory=time.monotonic)
    node: str = ""
    finished: int = 0


@dataclass
class _Crew:
    """The workers for items with the same needs, the calls that they are busy with, and what is left to do."""

    cluster: RayCluster
    work: bytes
    items: Sequence[Any]
    needs: Sequence[Needs]
    watcher: Watcher
    waiting: deque[int]
    calls: dict[Any, _Worker] = field(default_factory=dict)
    idle: list[_Worker] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)

    def start(self) -> None:
        """Ask for a worker. Ray starts it when a node has room."""
        need = self.needs[self.waiting[0]]
        memory = self.cluster.memory or need.memory
        options: dict[str, Any] = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_restarts": 0}
        actor: Any = ray.remote(_Actor).options(**options, **({"memory": memory} if memory else {})).remote()
        variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        self.calls[actor.prepare.remote(self.work, variables)] = _Worker(actor)

    def step(self) -> Iterator[tuple[int, Any]]:
        """Handle the calls that have ended, and those that take too long."""
        ended, _ = ray.wait(list(self.calls), num_returns=1, timeout=TICK)
        for call in ended:
            worker = self.calls.pop(call)
            try:
                content = ray.get(call)
            except RayError as error:
                yield from self._lose(worker, f"the worker process was lost ({describe(error)})")
                continue
            yield from self._handle(worker, content)
        for call, worker in list(self.calls.items()):
            if worker.place is not None and time.monotonic() - worker.since > self._limit(worker.place):
                del self.calls[call]
                self.attempts[worker.place] = ATTEMPTS
                yield from self._lose(worker, f"not finished after {self._limit(worker.place):g} s, the time limit")

    def _handle(self, worker: _Worker, content: Any) -> Iterator[tuple[int, Any]]:
        place, worker.place = worker.place, None
        if place is None:
            worker.node, problem = content
            if problem:
                raise UsageError(problem)
        self._give_next(worker)  # before the caller handles the result, so that the worker does not wait
        if place is not None:
            yield place, pickle.loads(content)

    def _give_next(self, worker: _Worker) -> None:
        if not self.waiting:
            self.idle.append(worker)
            return
        worker.place, worker.since = self.waiting.popleft(), time.monotonic()
        item = pickle.dumps(self.items[worker.place], pickle.HIGHEST_PROTOCOL)
        self.calls[worker.actor.run.remote(item)] = worker
        self.watcher.began(worker.place)

    def _lose(self, worker: _Worker, reason: str) -> Iterator[tuple[int, Lost]]:
        """Replace a worker; its item is tried again unless too many workers were lost on it."""
        ray.kill(worker.actor)
        place = worker.place
        if place is not None:
            if worker.node in _nodes():
                self.attempts[place] = self.attempts.get(place, 0) + 1
            if self.attempts.get(place, 0) < ATTEMPTS:
                self.waiting.appendleft(place)
        if self.waiting:
            if self.idle:
                self._give_next(self.idle.pop())
            else:
                self.start()
        if place is not None and self.attempts.get(place, 0) >= ATTEMPTS:
            yield place, Lost(" ".join(reason.split()))

    def _limit(self, place: int) -> float:
        return self.cluster.timeout or self.needs[place].seconds or float("inf")


def _nodes() -> set[str]:
    """The nodes that are part of the cluster."""
    nodes: Any = ray.nodes  # has no types
    return {node["NodeID"] for node in nodes() if node["Alive"]}


def _room(need: Needs) -> int:
    """How many workers with such needs the cluster has room for, at least one."""
    resources: Any = ray.cluster_resources  # has no types
    total = resources()
    rooms = [total.get("CPU", 0) / need.cpus if need.cpus else float("inf")]
    rooms += [total.get("GPU", 0) / need.gpus] if need.gpus else []
    return max(1, int(min(rooms)))
