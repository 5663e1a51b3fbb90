"""The executor that the options of a command stand for."""

from __future__ import annotations

from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors import choice
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor
from vcfe_bench.executors.pool import Pool


def chosen_executor(in_process: bool, jobs: int | None, timeout: float | None, memory: float | None) -> Executor:
    """The executor of these options, ``memory`` in GB.

    Raises:
        UsageError: the options do not go together.
    """
    limits = {"--jobs": jobs, "--timeout": timeout, "--memory": memory}
    given = [name for name, value in limits.items() if value is not None]
    if in_process:
        if given:
            raise UsageError(f"{given[0]} is about worker processes: give either it or --in-process")
        return InProcess()
    if not given:
        return choice.DEFAULT
    return Pool(jobs or 1, timeout, None if memory is None else memory * 1e9)
