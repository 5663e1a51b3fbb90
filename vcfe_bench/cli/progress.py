"""Progress of a run: live bars on a terminal, sparse lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vcfe_bench import interfaces
from vcfe_bench.core.text import number
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record


def display(console: Console) -> Lines:
    """The display that fits the console; a context manager around the run."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines(Observer):
    """A line for what is there already, the first result, every finished method, and every half minute in between."""

    INTERVAL = 30.0

    def __init__(self, console: Console) -> None:
        self.console = console
        self.left: dict[str, int] = {}
        self.totals: dict[str, int] = {}
        self.first_real: set[str] = set()
        self.spoke = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.spoke = time.monotonic()

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        for batch in batches:
            spec = batch.method.spec
            self.left[spec] = self.totals[spec] = self.totals.get(spec, 0) + len(batch.tasks)
        if done:
            self.say(f"{done} of {len(plan.tasks)} results are there already and are not made again")

    def finished(self, records: Sequence[Record]) -> None:
        method = records[0].method
        self.left[method] -= len(records)
        failed = [record for record in records if record.status != "ok"]
        for record in failed:
            self.say(f"{method}: video {record.sample} {record.status}: {record.reason}")
        if method not in self.first_real and len(failed) < len(records):
            self.first_real.add(method)
            record = next(record for record in records if record.status == "ok")
            met = f"goal {record.goal} {'met' if record.met else 'not met'}"
            self.say(f"{method}: first result, video {record.sample}, {met}, {number(record.seconds)} s")
        self.advanced(method)

    def advanced(self, method: str) -> None:
        done = self.totals[method] - self.left[method]
        if self.left[method] == 0 or time.monotonic() - self.spoke > self.INTERVAL:
            self.say(f"{method}: {done} of {self.totals[method]} videos done")

    def scored(self, done: int, total: int, what: str) -> None:
        if done == total or time.monotonic() - self.spoke > self.INTERVAL:
            self.say(f"{done} of {total} {what}")


class Bars(Lines):
    """One bar per method with video, iteration, loss and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=console,
        )
        self.rows: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
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

    def progress(self, batch: MicroBatch, progress: interfaces.Progress) -> None:
        loss = "" if progress.loss is None else f" · loss {number(progress.loss)}"
        self._detail(batch, f" · iteration {progress.iteration}/{progress.total}{loss}")
        done = self.totals[batch.method.spec] - self.left[batch.method.spec]
        share = len(batch.tasks) * progress.iteration / max(progress.total, 1)
        self.bars.update(self.rows[batch.method.spec], completed=done + share)

    def _detail(self, batch: MicroBatch, text: str) -> None:
        videos = ", ".join(task.original.sample for task in batch.tasks)
        self.bars.update(self.rows[batch.method.spec], detail=f"video {videos}{text}")

    def advanced(self, method: str) -> None:
        self.bars.update(self.rows[method], completed=self.totals[method] - self.left[method], detail="")

    def scored(self, done: int, total: int, what: str) -> None:
        row = self.rows.get(what)
        if row is None:
            row = self.rows[what] = self.bars.add_task(what, total=total, detail="")
        self.bars.update(row, completed=done, total=total)
