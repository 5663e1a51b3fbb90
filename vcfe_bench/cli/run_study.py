"""The runs of a study, one after the other, with progress and summaries on the console."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from typer import echo

from vcfe_bench.cli import output
from vcfe_bench.cli.progress import progress_display
from vcfe_bench.executors.interface import Executor
from vcfe_bench.results import leaderboard
from vcfe_bench.results.unanswered import require_results
from vcfe_bench.runs.micro_batch import DEBUGGER
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.runs.shards import Shard
from vcfe_bench.workflows import hooks
from vcfe_bench.workflows import run as workflow
from vcfe_bench.workflows.dry_run import dry_run
from vcfe_bench.workflows.study import Study


@dataclass(frozen=True)
class Manner:
    """How runs are carried out and shown; see the options of ``vcfe-bench run``."""

    executor: Executor
    shard: Shard | None = None
    overwrite: bool = False
    force: bool = False
    quiet: bool = False
    verbose: bool = False
    fail_fast: bool = False
    debug: bool = False
    full: bool = False
    intervals: bool = False


def run_study(study: Study, requests: Sequence[Request], manner: Manner) -> None:
    """Carry out the runs of a study; of several, print the table that joins them last.

    Raises:
        NoResult: a method has no result in one of them.
        UsageError: anything the user has to change.
    """
    console, directories = Console(), []
    called = hooks.load(study.hooks)
    for request in requests:
        start = time.monotonic()
        out = _directory(study.out, request, len(requests), manner.shard)
        with (
            progress_display(
                console, manner.quiet, manner.fail_fast, bars=not manner.debug, verbose=manner.verbose
            ) as display,
            _debugger(manner.debug),
        ):
            observer = hooks.Hooked(display, called) if called else display
            directory = workflow.run(
                request, out, study.metrics, observer, manner.overwrite, manner.force, manner.executor, manner.shard
            )
        directories.append(directory)
        elapsed = f"{time.monotonic() - start:,.0f} s"
        board, hint = leaderboard.load(directory), output.report_hint(directory)
        output.print_board(console, board, study.columns, manner.full, False, manner.intervals, elapsed, hint)
    if len(directories) > 1:
        console.print(f"\nall {len(directories)} runs")
        output.print_board(console, leaderboard.join(directories), study.columns, manner.full, False, manner.intervals)
    if manner.shard is None:  # a shard may have no tasks of a method
        for directory, request in zip(directories, requests, strict=True):
            require_results(directory, request.methods)


def print_plans(study: Study, requests: Sequence[Request]) -> None:
    """Print what the runs of a study would do."""
    for request in requests:
        for line in dry_run(request, _directory(study.out, request, len(requests))):
            echo(line)


def _directory(out: Path | None, request: Request, count: int, shard: Shard | None = None) -> Path | None:
    """The directory of one of several runs: in the folder ``out``, under the name that it has by default."""
    if out is None or count == 1:
        return out
    return workflow.directory_of(resolve(request).configuration(), folder=out, shard=shard)


@contextmanager
def _debugger(on: bool) -> Iterator[None]:
    """Within the block, exceptions of methods open the debugger where they were raised."""
    if not on:
        yield
        return
    import pdb

    def open_debugger(error: BaseException) -> None:
        echo(f"{type(error).__name__}: {error}", err=True)
        pdb.post_mortem(error.__traceback__)

    token = DEBUGGER.set(open_debugger)
    try:
        yield
    finally:
        DEBUGGER.reset(token)
