"""What differs between two configurations of one run directory, and which tasks have to run again because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vcfe_bench.runs.configuration import MethodIdentity
from vcfe_bench.runs.journal import Configured
from vcfe_bench.runs.plan import Plan
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class Superseded:
    """Tasks of a method that have a result of an earlier version, and run again; ``reason`` is what has changed."""

    method: str
    reason: str
    count: int


def superseded(planned: Plan, store: RunDirectory) -> Iterator[Superseded]:
    """The tasks of a plan that have results under another identity only, by method."""
    known = store.journal.state.tasks
    tasks = [task for task in planned.tasks if task.id not in known and task.skip is None]
    ids = {task.id for task in planned.tasks}
    if not tasks or known.keys() <= ids:
        return
    results = {_question(record) for record in store.entries(Record)}
    counts = Counter(task.method for task in tasks if (task.method, task.original.index, str(task.goal)) in results)
    for method, count in counts.items():
        yield Superseded(method, _reason(store, method), count)


def _question(record: Record) -> tuple[str, int, str]:
    return record.method, record.index, record.goal


def _reason(store: RunDirectory, method: str) -> str:
    """How a method differs from the latest other version of it that the directory knows."""
    now = store.configuration.methods[method]
    for entry in reversed(store.entries(Configured)):
        before = entry.configuration.methods.get(method, now)
        if before != now:
            return _changed(before, now)
    return "the rules of identity have changed"


def _changed(before: MethodIdentity, now: MethodIdentity) -> str:
    parts = {
        "code": before.source != now.source,
        "learned weights": before.fingerprint != now.fingerprint,
        "micro-batch width": before.width != now.width,
    }
    names = [name for name, differs in parts.items() if differs]
    plural = len(names) > 1 or names == ["learned weights"]
    return f"{' and '.join(names)} {'have' if plural else 'has'} changed"
