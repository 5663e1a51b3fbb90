"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence

from vcfe_bench.plugins.method import Progress
from vcfe_bench.runs.plan import MicroBatch, Plan
from vcfe_bench.runs.records import Record


class Observer:
    """Sees everything and says nothing; displays override what they show."""

    def planned(self, plan: Plan, batches: Sequence[MicroBatch], done: int) -> None:
        """Generation starts: what is left to do, and how many tasks were done before."""

    def began(self, batch: MicroBatch) -> None:
        """A micro-batch starts."""

    def progress(self, batch: MicroBatch, progress: Progress) -> None:
        """The method at work reports an iteration."""

    def finished(self, records: Sequence[Record]) -> None:
        """The tasks of a micro-batch are stored; one record each."""

    def scored(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` videos are scored, or seen by a feature network."""
