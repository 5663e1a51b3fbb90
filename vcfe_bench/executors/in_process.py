"""The executor that does everything in this process: for debuggers, and for work that is trusted."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.interface import Executor, I, Lost, Needs, Options, R, Watcher, Work


class InProcess(Executor):
    """One item after another, in this process. Nothing limits the time and the memory of an item."""

    @classmethod
    def configured(cls, options: Options) -> InProcess:
        if given := options.given("jobs", "timeout", "memory", "address"):
            raise UsageError(f"{given[0]} is about worker processes; there are none with --in-process")
        return cls()

    def of_calls(self) -> None:
        return None

    def execute(
        self, work: Work[I, R], items: Sequence[I], needs: Sequence[Needs], watcher: Watcher
    ) -> Generator[tuple[int, R | Lost], None, None]:
        for place, item in enumerate(items):
            watcher.began(place)
            yield place, work(item, partial(watcher.reported, place))
