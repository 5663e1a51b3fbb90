"""The executor that is used by default, those that can be chosen by name, and the one in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from vcfe_bench.core.devices import RANK
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor, Limits, Options
from vcfe_bench.executors.pool import Pool

GROUP = "vcfe_bench.executors"
DEFAULT: Executor = InProcess() if RANK in os.environ else Pool()
"""One worker process on this machine; worker processes start none."""
_IN_USE: list[Executor] = []


@contextmanager
def using(executor: Executor) -> Iterator[None]:
    """Inside the block, ``current`` is this executor."""
    _IN_USE.append(executor)
    try:
        yield
    finally:
        _IN_USE.pop()


def current() -> Executor:
    """The executor in use, by default ``DEFAULT``."""
    return _IN_USE[-1] if _IN_USE else DEFAULT


def limits() -> Limits | None:
    """Limits of single calls in a worker process; None if they run in this process."""
    return current().of_calls()


def chosen(name: str | None, options: Options) -> Executor:
    """The executor with a name and options; without either, ``DEFAULT``.

    Raises:
        UsageError: there is no such executor, or the options do not suit it.
    """
    if name is None:
        return DEFAULT if options == Options() else type(DEFAULT).configured(options)
    return _named(name).configured(options)


def _named(name: str) -> type[Executor]:
    """The executor that a distribution registers under ``name`` in the entry-point group ``vcfe_bench.executors``.

    Raises:
        UsageError: there is none, or something that it needs is not installed.
    """
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in entries:
        raise UsageError(f"unknown executor '{name}'; {nearest(name, entries)}")
    try:
        executor: type[Executor] = entries[name].load()
    except ImportError as error:
        raise UsageError(f"executor '{name}' needs the extra: pip install 'vcfe-bench[{name}]' ({error})") from None
    return executor
