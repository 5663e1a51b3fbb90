"""Methods that a run was asked for and that have no result at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from vcfe_bench.core.errors import NoResult
from vcfe_bench.core.text import some
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.state import TaskState


def require_results(directory: Path, requested: Sequence[str]) -> None:
    """Refuse a finished run in which a method has no counterfactual; of reference methods, those that are requested.

    Raises:
        NoResult: there is one.
    """
    tasks: dict[str, list[TaskState]] = defaultdict(list)
    store = RunDirectory(directory)
    for _, task in store.journal.state.of_plan():
        tasks[task.method].append(task)
    without = [
        f"method {method} has no result: {_reason(tasks[method])}"
        for method in store.configuration.methods
        if (method not in REFERENCES or method in requested) and all(task.status != "ok" for task in tasks[method])
    ]
    if without:
        raise NoResult(some(without))


def _reason(tasks: Sequence[TaskState]) -> str:
    """How often it failed or was skipped, and the most frequent reason."""
    if not tasks:
        return "it was not run"
    (status, reason), count = Counter((task.status, task.reason) for task in tasks).most_common(1)[0]
    return f"{status} on {count} of {len(tasks)} videos ({reason[:200]})"
