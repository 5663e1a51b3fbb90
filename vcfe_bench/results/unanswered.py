"""Methods that a run was asked for and that have no result at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vcfe_bench.core.errors import NoResult
from vcfe_bench.core.text import some
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory


def require_results(directory: Path, requested: Sequence[str]) -> None:
    """Refuse a finished run in which a method has no counterfactual; of reference methods, those that are requested.

    Raises:
        NoResult: there is one.
    """
    records: dict[str, list[Record]] = {}
    store = RunDirectory(directory)
    for record in store.records().values():
        records.setdefault(record.method, []).append(record)
    without = [
        f"method {method} has no result: {_reason(records.get(method, []))}"
        for method in store.configuration.methods
        if (method not in REFERENCES or method in requested)
        and all(record.status != "ok" for record in records.get(method, []))
    ]
    if without:
        raise NoResult(some(without))


def _reason(records: Sequence[Record]) -> str:
    """How often it failed or was skipped, and the most frequent reason."""
    if not records:
        return "it was not run"
    (status, reason), count = Counter((record.status, record.reason) for record in records).most_common(1)[0]
    return f"{status} on {count} of {len(records)} videos ({reason[:200]})"
