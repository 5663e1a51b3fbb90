"""The executor that is used by default, and those that can be chosen by name."""

from __future__ import annotations

from importlib.metadata import entry_points

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.executors.interface import Executor, Options
from vcfe_bench.executors.pool import Pool

GROUP = "vcfe_bench.executors"
DEFAULT: Executor = Pool()
"""One worker process on this machine."""


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
