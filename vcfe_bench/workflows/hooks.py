"""Hooks: code of others that follows a run, for example to send its results to an experiment tracker.

A hook is a class that a distribution registers in the entry-point group ``vcfe_bench.hooks``; ``run --hooks NAME``
calls it. One that fails is reported with a warning and not called again; the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.plugins.method import Progress
from vcfe_bench.results import leaderboard
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.runs.changes import Superseded
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record

GROUP = "vcfe_bench.hooks"


class Hook:
    """Base class of hooks; override what is needed. All methods are called in the process that writes the run."""

    def on_run_start(self, path: Path, configuration: Configuration) -> None:
        """The run directory ``path`` is open; ``configuration`` is all that determines its results."""

    def on_record(self, record: Record) -> None:
        """A task has a result, which is stored; also for results that are reused from the cache."""

    def on_scores(self, board: Leaderboard) -> None:
        """Everything is scored. Not called for a run that ends early."""

    def on_run_end(self, path: Path, error: BaseException | None) -> None:
        """The run has ended; ``error`` is what ended it early, or None."""


def load(names: Sequence[str]) -> list[Hook]:
    """The hooks registered under some names.

    Raises:
        UsageError: there is no such hook, or it cannot be loaded.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    hooks = []
    for name in names:
        if name not in known:
            raise UsageError(f"unknown hook '{name}'; {nearest(name, known)}")
        try:
            hook = known[name].load()()
        except Exception as error:
            raise UsageError(f"hook '{name}' cannot be loaded: {describe(error)}") from error
        if not isinstance(hook, Hook):
            raise UsageError(f"hook '{name}' is not a vcfe_bench.workflows.hooks.Hook")
        hooks.append(hook)
    return hooks


class Hooked(Observer):
    """An observer that also calls hooks."""

    def __init__(self, observer: Observer, hooks: Sequence[Hook]) -> None:
        self.observer = observer
        self.hooks = list(hooks)

    def _call(self, event: str, *arguments: object) -> None:
        for hook in list(self.hooks):
            try:
                getattr(hook, event)(*arguments)
            except Exception as error:
                self.hooks.remove(hook)
                self.warned(f"hook {type(hook).__name__} failed in {event} and is not called again: {describe(error)}")

    def started(self, path: Path, configuration: Configuration) -> None:
        self.observer.started(path, configuration)
        self._call("on_run_start", path, configuration)

    def ended(self, path: Path, error: BaseException | None = None) -> None:
        self.observer.ended(path, error)
        if error is None and self.hooks:
            self._call("on_scores", leaderboard.load(path))
        self._call("on_run_end", path, error)

    def reused(self, records: Sequence[Record]) -> None:
        self.observer.reused(records)
        for record in records:
            self._call("on_record", record)

    def finished(self, records: Sequence[Record]) -> None:
        self.observer.finished(records)
        for record in records:
            self._call("on_record", record)

    def warned(self, text: str) -> None:
        self.observer.warned(text)

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        self.observer.planned(plan, batches, done)

    def superseded(self, tasks: Superseded) -> None:
        self.observer.superseded(tasks)

    def began(self, batch: MicroBatch) -> None:
        self.observer.began(batch)

    def progress(self, batch: MicroBatch, progress: Progress) -> None:
        self.observer.progress(batch, progress)

    def scored(self, done: int, total: int, what: str) -> None:
        self.observer.scored(done, total, what)
