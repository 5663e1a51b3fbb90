"""The session that every scored run shares: open and lock its directory, compute, write the tables, close."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcfe_bench.core.environment import environment
from vcfe_bench.core.errors import describe
from vcfe_bench.executors import serial
from vcfe_bench.plugins import apart
from vcfe_bench.results import leaderboard
from vcfe_bench.runs import tables
from vcfe_bench.runs.configuration import THREADS, Configuration
from vcfe_bench.runs.run_directory import RunDirectory


@contextmanager
def scored_run(
    path: Path, configuration: Configuration | None = None, overwrite: bool | None = None
) -> Iterator[RunDirectory]:
    """Open a run for the block: locked, with ``THREADS`` torch threads, its tables written when the block ends.

    With a ``configuration``, the directory is created, or must hold a run that differs in methods at most; without one,
    it must hold a run. With ``overwrite``, a run that it holds is deleted first. The tables are also written when the
    block fails or is interrupted. A failure to write them then becomes a note on the exception of the block, which is
    the one that propagates.

    Raises:
        UsageError: the directory cannot be read or written, is in use, or holds something else.
    """
    store = _opened(path, configuration, overwrite)
    try:
        with serial.threads(THREADS):
            try:
                yield store
            except BaseException as first:
                _try_to_write_tables(store, first)
                raise
            write_tables(store)
    finally:
        apart.release()
        store.close()


def write_tables(store: RunDirectory) -> None:
    """Write ``records.parquet``, ``sets.parquet``, ``metrics.json`` and ``leaderboard.csv`` from the journal."""
    tables.write(store)
    leaderboard.write(store)
    store.put_checksums()


def _opened(path: Path, configuration: Configuration | None, overwrite: bool | None) -> RunDirectory:
    if configuration is not None:
        return RunDirectory.create(path, configuration, environment(), overwrite)
    store = RunDirectory(path)
    store.lock()
    return store


def _try_to_write_tables(store: RunDirectory, first: BaseException) -> None:
    try:
        write_tables(store)
    except BaseException as error:
        first.add_note(f"The tables in {store.path} were not written: {describe(error)}")
