"""What all executors have in common: they run a piece of work on items, and hand results over as they are ready."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import psutil

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
SHARE = 0.9
"""Share of the machine's memory that all workers together may take by default."""


class Work(Protocol[Item, Result]):
    """What is done with an item. ``report`` takes updates that may be shown while the item is being worked on.

    Executors of several processes pickle the work once for each process. A work that holds much pickles the recipe to
    build it instead.
    """

    def __call__(self, item: Item, report: Callable[[Any], None], /) -> Result: ...


@dataclass(frozen=True)
class Lost:
    """There is no result, because the process that worked on the item was lost: the reason on one line, and details."""

    reason: str
    details: str = ""


@dataclass(frozen=True)
class Needs:
    """What an item takes of a machine.

    Attributes:
        cpus: processor cores.
        gpus: GPUs: a share of one, or several.
        memory: bytes of main memory; None if unknown.
        seconds: the longest that it may take, unless the executor has another limit; None for no limit.
    """

    cpus: float = 1
    gpus: float = 0
    memory: float | None = None
    seconds: float | None = None


class Watcher(Protocol):
    """Gets the events of items, which are named by their place in the sequence."""

    def began(self, item: int) -> None:
        """Work on an item starts."""

    def reported(self, item: int, update: Any) -> None:
        """Work on an item sends an update."""


@dataclass(frozen=True)
class Limits:
    """What a single call in a worker process may take.

    Attributes:
        seconds: time, an hour by default.
        memory: resident bytes of the process; by default ``SHARE`` of the machine's memory.
    """

    seconds: float = 3600.0
    memory: float = field(default_factory=lambda: SHARE * psutil.virtual_memory().total)


@dataclass(frozen=True)
class Options:
    """What users say about an executor; None where they say nothing.

    Attributes:
        jobs: number of workers.
        timeout: seconds that an item may take.
        memory: bytes that a worker may take.
        address: of a cluster.
    """

    jobs: int | None = None
    timeout: float | None = None
    memory: float | None = None
    address: str | None = None

    def given(self, *names: str) -> list[str]:
        """Those of the named options that users gave, as they are written on the command line."""
        return [f"--{name}" for name in names if getattr(self, name) is not None]


class Executor(ABC):
    """A way to spread work over processes and machines; registered as entry points of ``vcfe_bench.executors``."""

    @classmethod
    @abstractmethod
    def configured(cls, options: Options) -> Executor:
        """The executor with these options.

        Raises:
            UsageError: an option makes no sense for it.
        """

    def of_calls(self) -> Limits | None:
        """Limits of single calls in a worker process on this machine; None if they run in this process."""
        return Limits()

    @abstractmethod
    def execute(
        self, work: Work[I, R], items: Sequence[I], needs: Sequence[Needs], watcher: Watcher
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """The results of all items with their places, each as soon as it is ready; ``needs`` has one entry per item.

        Exceptions of the work propagate in an executor that runs in this process; elsewhere they lose the item. Work
        that has not finished is stopped when the caller closes the iterator.

        Raises:
            UsageError: no worker can be started.
        """
