"""The executor that is used by default, and those that can be chosen by name."""

from __future__ import annotations

from importlib.metadata import entry_points

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.executors.interface import Executor
from vcfe_bench.executors.pool import Pool

GROUP = "vcfe_bench.executors"
DEFAULT: Executor = Pool()
"""One worker process on this machine."""


def named(name: str) -> type[Executor]:
    """The executor that a distribution registers under ``name`` in the entry-point group ``vcfe_bench.executors``.

    Raises:
        UsageError: there is none, or something that it needs is not installed.
    """
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in entries:
        raise UsageError(f"unknown executor '{name}'; {nearest(name, entries)}")
    try:
        return entries[name].load()
    except ImportError as error:
        raise UsageError(
            f"executor '{name}' cannot be loaded: {error}; try: pip install 'vcfe-bench[{name}]'"
        ) from None
