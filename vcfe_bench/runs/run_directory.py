"""The directory of a run.

=====================  ==========================================================================================
``run.json``           the configuration, and the environment of the first session
``journal.jsonl``      one line per event, synced to disk; all tables are written from it
``records.parquet``    one row per method, video and goal
``sets.parquet``       one row per method and set metric
``metrics.json``       the cards of the metrics in the tables, and why some have no values
``leaderboard.csv``    the table
``videos/``            lossless, ``<record id>.mkv`` and ``original-<hash>.mkv``
``traces/``            ``<record id>.npz``: per-iteration series
``artefacts/``         ``<record id>.npz``: what a method returned alongside the video
``features/``          features of each video
``curves/``            ``<record id>.npz``: the curves behind values that summarise one
=====================  ==========================================================================================

Files appear complete or not at all, and a video before the line that refers to it. A process that is killed loses at
most what was not yet in the journal; a line that was cut short is dropped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs import journal
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.journal import (
    Configured,
    DatasetNotes,
    Entry,
    Original,
    Planned,
    RealVideos,
    Scored,
    Scores,
    SetRow,
)
from vcfe_bench.runs.records import Record, ScoredCard

if TYPE_CHECKING:
    from torch import Tensor

E = TypeVar("E", bound=Entry)

RUN, JOURNAL = "run.json", "journal.jsonl"
RECORDS, SETS, METRICS = "records.parquet", "sets.parquet", "metrics.json"
CURVES = "curves"
"""Folder of the curves behind values, ``<record id>.npz``."""
FILES = (JOURNAL, RECORDS, SETS, METRICS, "leaderboard.csv")
FOLDERS = ("videos", "traces", "artefacts", "features", CURVES)
"""What a run consists of, besides ``run.json``."""


class RunDirectory:
    """A run directory, open for reading; ``create`` or ``lock`` it before writing.

    Attributes:
        path: the directory.
        configuration: what the run computes.
        journal: all entries so far.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing run.

        Raises:
            UsageError: not a run, or not readable.
        """
        self.path = path
        try:
            self._read()
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{path} is not a run that can be read ({type(error).__name__}: {error})") from None
        self._lock = FileLock(path / ".lock", timeout=0)

    @classmethod
    def create(
        cls, path: Path, configuration: Configuration, environment: Mapping[str, Any], overwrite: bool | None = None
    ) -> RunDirectory:
        """Open the run of a configuration in ``path``, new or existing, for writing.

        An existing run may differ in its methods: it then becomes the run of this configuration, and the journal keeps
        the former one. With ``overwrite``, an existing run is deleted first, whatever it is; None is for commands that
        do not offer it.

        Raises:
            UsageError: the directory cannot be written, holds something else or a run that differs in more than
                methods, or is in use.
        """
        new = not (path / RUN).exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if new and any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise UsageError(f"{path} is not empty and not a run; choose another --out")
            if new or overwrite:
                with _held(FileLock(path / ".lock", timeout=0), path):
                    for name in (*FILES, *FOLDERS) if overwrite and not new else ():
                        _delete(path / name)
                    _write_json(path / RUN, {"configuration": configuration.write(), "environment": environment})
        except OSError as error:
            raise UsageError(f"cannot write to {path}: {error.strerror or error}") from None
        store = cls(path)
        store.lock()
        difference = store.configuration.other_question(configuration)
        if difference:
            store.close()
            hint = "" if overwrite is None else ", or start again with --overwrite"
            raise UsageError(f"{path} holds another run ({difference}); choose another --out{hint}")
        store._configure(configuration)
        return store

    def lock(self) -> None:
        """Become the only writer, until ``close`` or the end of the process.

        Raises:
            UsageError: the directory is in use by another process, or cannot be written.
        """
        _acquire(self._lock, self.path)
        try:
            journal.drop_cut_line(self.path / JOURNAL)
            self._read()
        except OSError as error:
            raise UsageError(f"cannot write to {self.path}: {error.strerror or error}") from None

    def _read(self) -> None:
        self.run: dict[str, Any] = json.loads((self.path / RUN).read_text())
        self.configuration = Configuration.read(self.run["configuration"])
        self.journal = journal.read(self.path / JOURNAL)

    def _configure(self, configuration: Configuration) -> None:
        """Make this the run of a configuration."""
        before, self.configuration = self.configuration, configuration
        if before != configuration or list(before.methods) != list(configuration.methods):
            if self.last(Configured) is None:
                self.append(Configured(before))
            self.append(Configured(configuration))
            _write_json(self.path / RUN, {**self.run, "configuration": configuration.write()})

    def close(self) -> None:
        self._lock.release()

    def append(self, entry: Entry) -> None:
        """Write one entry to the journal; it is on the disk when this returns."""
        journal.append(self.path / JOURNAL, entry)
        self.journal.append(entry)

    def entries(self, kind: type[E]) -> list[E]:
        """All entries of a kind, oldest first."""
        return [entry for entry in self.journal if isinstance(entry, kind)]

    def last(self, kind: type[E]) -> E | None:
        """The latest entry of a kind."""
        return next((entry for entry in reversed(self.journal) if isinstance(entry, kind)), None)

    def records(self) -> dict[str, Record]:
        """The latest record of each task of the plan by id; results that a later plan superseded are left out."""
        records = {record.id: record for record in self.entries(Record)}
        plan = self.planned()
        ids = set(records if plan is None else plan.tasks)
        return {id: record for id, record in records.items() if id in ids}

    def originals(self) -> dict[int, Original]:
        """The originals by index in the split."""
        return {original.index: original for original in self.entries(Original)}

    def planned(self) -> Planned | None:
        """The latest plan."""
        return self.last(Planned)

    def dataset_notes(self) -> tuple[str, ...]:
        """What the dataset says about the videos of the split."""
        entry = self.last(DatasetNotes)
        return entry.notes if entry else ()

    def scores(self) -> list[Scores]:
        """Values of sample metrics, oldest first."""
        return self.entries(Scores)

    def set_rows(self) -> dict[tuple[str, str], SetRow]:
        """The latest value of each set or pair metric by method and metric name, for the methods of the configuration.

        Values are left out that were computed before the method's results were complete, or before its tasks changed.
        """
        method_of = {record.id: record.method for record in self.entries(Record)}
        rows: dict[tuple[str, str], SetRow] = {}
        planned: set[str] = set()
        for entry in self.journal:
            if isinstance(entry, SetRow):
                rows[entry.method, entry.metric] = entry
                continue
            changed = {entry.id} if isinstance(entry, Record) and entry.status == "ok" else set()
            if isinstance(entry, Planned):
                changed, planned = planned ^ set(entry.tasks), set(entry.tasks)
            if changed:
                outdated = {method_of.get(id) for id in changed}
                rows = {key: row for key, row in rows.items() if row.method not in outdated}
        return {key: row for key, row in rows.items() if row.method in self.configuration.methods}

    def real_videos(self) -> tuple[str, ...]:
        """Content hashes of the reference (real) videos, as of the last scoring."""
        real = self.last(RealVideos)
        return real.sha256 if real else ()

    def cards(self) -> list[ScoredCard]:
        """Cards of the metrics as of the last scoring, computed or not."""
        scored = self.last(Scored)
        return list(scored.cards) if scored else []

    def put_video(self, name: str, pixels: Tensor, fps: float) -> Tensor:
        """Store a uint8 video under ``videos/`` and read it back: the pixels on the disk.

        Raises:
            RuntimeError: they are not the pixels given.
        """
        from vcfe_bench.video import lossless  # imports torch, which tables do not need

        path = self._place("videos", name + lossless.SUFFIX)
        _atomically(path, lambda file: lossless.write(file, pixels, fps))
        stored = lossless.read(path)
        if not stored.equal(pixels):
            raise RuntimeError(f"{path} does not hold what was written")
        return stored

    def video(self, name: str) -> Tensor:
        """The uint8 pixels of a stored video."""
        from vcfe_bench.video import lossless

        return lossless.read(self.path / "videos" / (name + lossless.SUFFIX))

    def has_video(self, name: str) -> bool:
        from vcfe_bench.video import lossless

        return (self.path / "videos" / (name + lossless.SUFFIX)).exists()

    def put_arrays(self, folder: str, name: str, arrays: Mapping[str, Any]) -> None:
        """Store named arrays as ``<folder>/<name>.npz``; nothing when there are none."""
        if arrays:
            path = self._place(folder, name + ".npz")
            content = {key: np.asarray(value) for key, value in arrays.items()}
            _atomically(path, lambda file: _save(file, content))

    def arrays(self, folder: str, name: str) -> dict[str, np.ndarray] | None:
        """What ``put_arrays`` stored, or None."""
        path = self.path / folder / (name + ".npz")
        if not path.exists():
            return None
        with np.load(path) as content:
            return dict(content)

    def put_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as parquet or csv, by the name's suffix."""
        save = table.to_parquet if name.endswith(".parquet") else table.to_csv
        _atomically(self.path / name, lambda file: save(file, index=False))

    def table(self, name: str) -> pd.DataFrame:
        """A table that ``put_table`` wrote as parquet.

        Raises:
            UsageError: there is none yet.
        """
        if not (self.path / name).exists():
            raise UsageError(f"{self.path} has no {name} yet; run or score it first")
        return pd.read_parquet(self.path / name)

    def put_json(self, name: str, content: Any) -> None:
        _write_json(self.path / name, content)

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())

    def _place(self, folder: str, name: str) -> Path:
        path = self.path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a hidden file beside ``path``, then put it in its place."""
    temporary = path.with_name(f".{path.name}")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_json(path: Path, content: Any) -> None:
    _atomically(path, lambda file: file.write_text(json.dumps(content, indent=2)))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path} is in use by another process") from None
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror or error}") from None


@contextmanager
def _held(lock: FileLock, path: Path) -> Iterator[None]:
    _acquire(lock, path)
    try:
        yield
    finally:
        lock.release()
