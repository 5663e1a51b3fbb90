"""Progress of a run: live bars on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vcfe_bench.cli import exits
from vcfe_bench.core.errors import NoResult, UsageError
from vcfe_bench.core.text import number, printable
from vcfe_bench.figures.labels import goal_label
from vcfe_bench.plugins import method as plugins
from vcfe_bench.runs import tracebacks
from vcfe_bench.runs.changes import Superseded
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record


def progress_display(
    console: Console, quiet: bool = False, fail_fast: bool = False, bars: bool = True, verbose: bool = False
) -> LineProgress:
    """The progress display that suits the console; use it as a context manager around the run.

    Args:
        quiet: print warnings and failures only.
        fail_fast: end the run when a task fails.
        bars: show bars on a terminal; without, a debugger has it for itself.
        verbose: print a line for every counterfactual.

    Raises:
        UsageError: both ``quiet`` and ``verbose``.
    """
    if quiet and verbose:
        raise UsageError("give either --quiet or --verbose")
    display = BarProgress if console.is_terminal and bars and not quiet else LineProgress
    return display(console, quiet, fail_fast, verbose)


class LineProgress(Observer):
    """Prints a line for warnings, reused results, failures, the first result and the end of each method.

    During a method, it prints one every 30 seconds, or one for each counterfactual if it is ``verbose``.
    """

    INTERVAL = 30.0

    def __init__(self, console: Console, quiet: bool = False, fail_fast: bool = False, verbose: bool = False) -> None:
        self.console, self.quiet, self.fail_fast, self.verbose = console, quiet, fail_fast, verbose
        self.directory: Path | None = None
        self.totals: dict[str, int] = {}
        self.remaining: dict[str, int] = {}
        self.shown: set[str] = set()
        self.seen: set[str] = set()
        self.classes: tuple[str, ...] = ()
        self.printed_at = time.monotonic()

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def print(self, text: str, always: bool = False) -> None:
        if self.quiet and not always:
            return
        self.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
        self.printed_at = time.monotonic()

    def started(self, path: Path, configuration: Configuration) -> None:
        self.classes, self.directory = configuration.classes, path

    def warned(self, text: str) -> None:
        self.print(f"warning: {text}", always=True)

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        for batch in batches:
            spec = batch.method.spec
            self.remaining[spec] = self.totals[spec] = self.totals.get(spec, 0) + len(batch.tasks)
        if done:
            self.print(f"{done} of {len(plan.tasks)} results are reused from the run directory")

    def reused(self, records: Sequence[Record]) -> None:
        self.print(f"{len(records)} results of reference methods are taken from the cache")

    def superseded(self, tasks: Superseded) -> None:
        run = "1 task runs" if tasks.count == 1 else f"{tasks.count} tasks run"
        self.print(f"{tasks.method}: {tasks.reason}, {run} again")

    def finished(self, records: Sequence[Record]) -> None:
        method = records[0].method
        self.remaining[method] -= len(records)
        for record in records:
            if record.status != "ok":
                self.print(f"{method}: video {record.sample} {record.status}: {record.reason}", always=True)
            if record.traceback and self.directory and record.traceback not in self.seen:
                self.seen.add(record.traceback)
                shown = record.traceback if exits.debugging() else tracebacks.author_frames(record.traceback)
                for line in shown.splitlines():
                    indent = line[: len(line) - len(line.lstrip())]
                    self.console.print(indent + printable(line), highlight=False, markup=False, soft_wrap=True)
                self.print(f"whole traceback: {tracebacks.write(self.directory, record)}", always=True)
        if self.fail_fast and any(record.status == "failed" for record in records):
            raise NoResult(f"{method} failed, and --fail-fast ends the run; the same command resumes it")
        done = [record for record in records if record.status == "ok"]
        if self.verbose:
            for record in done:
                self.print(f"{method}: {self._result(record)}")
        elif done and method not in self.shown:
            self.shown.add(method)
            self.print(f"{method}: first result, {self._result(done[0])}")
        self.advanced(method)

    def _result(self, record: Record) -> str:
        costs = [] if math.isnan(record.seconds) else [f"{number(record.seconds)} s"]
        costs += [] if math.isnan(record.calls) else [f"{record.calls:.3g} calls"]
        goal = f"goal {goal_label(record.goal, self.classes)} {'met' if record.met else 'not met'}"
        return ", ".join([f"video {record.sample}", goal, *costs])

    def advanced(self, method: str) -> None:
        if self.remaining[method] == 0 or self._due():
            self.print(f"{method}: {self.done(method)} of {self.totals[method]} videos done")

    def scored(self, done: int, total: int, what: str) -> None:
        if done == total or self._due():
            self.print(f"{done} of {total} {what}")

    def done(self, method: str) -> int:
        """Number of finished videos of a method."""
        return self.totals[method] - self.remaining[method]

    def _due(self) -> bool:
        return time.monotonic() - self.printed_at > self.INTERVAL


class BarProgress(LineProgress):
    """Shows one bar per method with the current video, iteration, loss and remaining time."""

    def __init__(self, console: Console, quiet: bool = False, fail_fast: bool = False, verbose: bool = False) -> None:
        super().__init__(console, quiet, fail_fast, verbose)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            console=console,
        )
        self.rows: dict[str, TaskID] = {}

    def __enter__(self) -> BarProgress:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        super().planned(plan, batches, done)
        for spec, total in self.totals.items():
            self.rows[spec] = self.bars.add_task(spec, total=total, start=False, detail="")

    def began(self, batch: MicroBatch) -> None:
        self.bars.start_task(self.rows[batch.method.spec])
        self._detail(batch, "")

    def progress(self, batch: MicroBatch, progress: plugins.Progress) -> None:
        method = batch.method.spec
        loss = "" if progress.loss is None else f" · loss {number(progress.loss)}"
        self._detail(batch, f" · iteration {progress.iteration}/{progress.total}{loss}")
        fraction = len(batch.tasks) * progress.iteration / max(progress.total, 1)
        self.bars.update(self.rows[method], completed=self.done(method) + fraction)

    def advanced(self, method: str) -> None:
        self.bars.update(self.rows[method], completed=self.done(method), detail="")

    def scored(self, done: int, total: int, what: str) -> None:
        row = self.rows.get(what)
        if row is None:
            row = self.rows[what] = self.bars.add_task(what, total=total, detail="")
        self.bars.update(row, completed=done, total=total)

    def _detail(self, batch: MicroBatch, text: str) -> None:
        videos = ", ".join(task.original.sample for task in batch.tasks)
        self.bars.update(self.rows[batch.method.spec], detail=f"video {videos}{text}")
