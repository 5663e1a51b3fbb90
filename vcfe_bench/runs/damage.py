"""Which files of a run are missing or not what was written.

Everything is read for this, up to ``LIMIT`` bytes; of a larger run only names are compared, and its files are verified
when they are read, or by ``vcfe-bench verify``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vcfe_bench.core.text import some
from vcfe_bench.runs.run_directory import CURVES, FOLDERS, VIDEOS, RunDirectory
from vcfe_bench.runs.state import TaskState

LIMIT = 4_000_000_000
"""Bytes of stored files up to which a resumed run reads all of them."""
VIDEO, ARRAYS = ".mkv", ".npz"
FEATURES = "features"


@dataclass(frozen=True)
class Damage:
    """Names of damaged or missing files, relative to the run.

    Attributes:
        results: of videos and arrays of tasks, by the task's id.
        curves: behind scores, by the task's id.
        originals: videos of the dataset.
        features: features of videos.
    """

    results: dict[str, list[str]]
    curves: dict[str, list[str]]
    originals: list[str]
    features: list[str]

    @property
    def of_scores(self) -> bool:
        """Whether scoring can make some of it again."""
        return bool(self.curves or self.features)

    def of_results(self) -> list[str]:
        """Names of what only the command that made the run can make again."""
        return sorted([*self.originals, *(name for names in self.results.values() for name in names)])

    def sentence(self, run: Path) -> str:
        """What is told when it is made again."""
        return f"{some(self.names())} of {run} missing or damaged: made again"

    def names(self) -> list[str]:
        """All of them."""
        results = [name for names in (*self.results.values(), *self.curves.values()) for name in names]
        return sorted([*results, *self.originals, *self.features])


def find(store: RunDirectory, limit: float = LIMIT, scores_only: bool = False) -> Damage:
    """What is damaged or missing; of files of more than ``limit`` bytes in all, only what is missing.

    With ``scores_only``, only what scoring makes is looked at, not the results of tasks and the originals.
    """
    files = {name: size for folder in FOLDERS for name, size in _files(store.path, folder)}
    read = sum(files.values()) <= limit

    def bad(names: list[str]) -> list[str]:
        return [name for name in names if name not in files or (read and not _intact(store, name))]

    tasks, originals = dict(store.journal.state.of_plan()), store.originals()
    done = {id: task for id, task in tasks.items() if task.status == "ok"}
    results = {} if scores_only else {id: bad(_results(id, task)) for id, task in done.items()}
    curves = {id: bad([f"{CURVES}/{id}{ARRAYS}"]) for id, task in done.items() if task.curves}
    needed = {originals[task.index].video for task in done.values() if task.index in originals and not scores_only}
    return Damage(
        {id: names for id, names in results.items() if names},
        {id: names for id, names in curves.items() if names},
        bad([f"{VIDEOS}/{name}{VIDEO}" for name in sorted(needed)]),
        bad([name for name in files if name.startswith(f"{FEATURES}/")]),
    )


def _results(id: str, task: TaskState) -> list[str]:
    return [f"{VIDEOS}/{id}{VIDEO}", *(f"{folder}/{id}{ARRAYS}" for folder in task.files)]


def _files(root: Path, folder: str) -> Iterator[tuple[str, int]]:
    """The files below a folder with their sizes, other than those that are being written."""
    try:
        entries = list(os.scandir(root / folder))
    except FileNotFoundError:
        return
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if entry.is_dir():
            yield from _files(root, name)
        elif not entry.name.startswith("."):
            yield name, entry.stat().st_size


def _intact(store: RunDirectory, name: str) -> bool:
    folder, _, file = name.rpartition("/")
    try:
        store.content(folder, file)
    except OSError:
        return False
    return True
