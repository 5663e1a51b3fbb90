"""Events of a run that a progress display may show."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from vcfe_bench.plugins.method import Progress
from vcfe_bench.runs.changes import Superseded
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.records import Record


class Observer:
    """Ignores all events but warnings; displays override the methods for those that they show."""

    def warned(self, text: str) -> None:
        """Something makes the results doubtful; a Python warning where no display shows it."""
        warnings.warn(text, stacklevel=2)

    def started(self, path: Path, configuration: Configuration) -> None:
        """The run directory is open, and the run as it was requested is resolved."""

    def ended(self, path: Path, error: BaseException | None = None) -> None:
        """The run has ended, its tables are written; ``error`` is what ended it early."""

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        """Generation starts: the micro-batches left to run, and how many tasks have a result already."""

    def superseded(self, tasks: Superseded) -> None:
        """Tasks of a method have results of an earlier version and run again; told before ``planned``."""

    def reused(self, records: Sequence[Record]) -> None:
        """Results of reference methods were taken from the cache; told before ``planned``."""

    def began(self, batch: MicroBatch) -> None:
        """A micro-batch starts."""

    def progress(self, batch: MicroBatch, progress: Progress) -> None:
        """The running method reports an iteration."""

    def finished(self, records: Sequence[Record]) -> None:
        """The tasks of a micro-batch are stored; one record each."""

    def scored(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` steps of scoring are finished; ``what`` names them in the plural."""
