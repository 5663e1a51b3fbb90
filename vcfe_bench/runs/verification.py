"""How far a run is, and whether everything that it stores is what was written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vcfe_bench.runs import damage, table_files
from vcfe_bench.runs.files import DamagedFile
from vcfe_bench.runs.lines import Reader
from vcfe_bench.runs.run_directory import VIDEOS, RunDirectory


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        done: tasks with a counterfactual; ``failed`` and ``skipped`` those without.
        left: planned tasks that have no result yet or are tried again at the next resume.
        scored: counterfactuals with values of all metrics that any counterfactual has a value of.
        rate: tasks per second since the latest session began; NaN if that is not known.
        idle: seconds since the journal was last written to, by the clock of this machine.
        damaged: lines of the journal and stored files that are damaged or missing, in words; of files, only missing
            ones are counted.
    """

    done: int
    failed: int
    skipped: int
    left: int
    scored: int
    rate: float
    idle: float
    damaged: tuple[str, ...]

    @property
    def seconds_left(self) -> float:
        """Until all tasks have run, at the present rate; NaN if that is not known."""
        return self.left / self.rate if self.rate else math.nan


def status(path: Path, now: float) -> Status:
    """How far a run is at the time ``now``, in seconds since 1970. The run may be going on.

    Raises:
        UsageError: not a run that can be read.
    """
    store = RunDirectory(path, even_damaged=True)
    state, plan = store.journal.state, store.planned()
    tasks = dict(state.of_plan())
    counts = Counter(task.status for task in tasks.values())
    final = sum(task.final for task in tasks.values())
    names = frozenset(name for task in tasks.values() for name in (*task.versions, *task.failed))
    scored = sum(task.status == "ok" and names <= task.versions.keys() for task in tasks.values()) if names else 0
    pace, missing = state.pace, damage.find(store, limit=0).names()
    spent = pace.latest - pace.began
    return Status(
        done=counts["ok"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        left=(len(plan.tasks) if plan else 0) - final,
        scored=scored,
        rate=pace.finished / spent if pace.began and spent > 0 else math.nan,
        idle=max(now - pace.latest, 0.0) if pace.latest else math.nan,
        damaged=tuple(filter(None, (store.damage(), *missing))),
    )


def verify(path: Path) -> list[str]:
    """What is damaged or missing in a run, one line each; empty if everything is what was written.

    Raises:
        UsageError: not a run that can be read.
    """
    return list(_problems(RunDirectory(path, even_damaged=True)))


def _problems(store: RunDirectory) -> Iterator[str]:
    if store.run_damaged:
        yield "run.json is missing or damaged"
    if not store.journal.path.exists():
        yield "journal.jsonl is missing"
    else:
        reader = Reader(store.journal.path)
        for _ in reader:
            pass
        lost = (reader.lost | store.journal.lost) - store.journal.state.repaired
        yield from (f"journal.jsonl: line {number + 1} is damaged or lost" for number in sorted(lost))
    if store.tables.damaged:
        yield f"{table_files.NAME} is damaged"
    for name in store.tables.digests:
        try:
            store.tables.content(name)
        except DamagedFile:
            yield f"{name} is missing or damaged"
    damaged = damage.find(store, limit=math.inf).names()
    yield from (f"{name} is missing or damaged" for name in damaged)
    if store.journal.state.old and not store.journal.lost:
        yield from _old_videos(store, set(damaged))


def _old_videos(store: RunDirectory, known: set[str]) -> Iterator[str]:
    """Videos without a checksum of the file whose pixels are not those of the journal."""
    hashes = {record.video: record.video_sha256 for record in store.records().values() if record.video}
    hashes |= {original.video: original.sha256 for original in store.originals().values()}
    for video, sha256 in hashes.items():
        name = f"{VIDEOS}/{video}{damage.VIDEO}"
        if name not in known and (store.path / name).exists():
            try:
                store.video(video, sha256)
            except DamagedFile:
                yield f"{name} is damaged"
