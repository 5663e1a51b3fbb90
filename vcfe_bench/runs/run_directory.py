"""The directory of a run.

=====================  ==========================================================================================
``run.json``           the configuration, and the environment of the first session
``journal.jsonl``      one line per event, synced to disk; all tables are written from it
``journal.snapshot``   the state of a long journal, to open it faster
``records.parquet``    one row per method, video and goal
``sets.parquet``       one row per method and set metric
``metrics.json``       the cards of the metrics in the tables, and why some have no values
``leaderboard.csv``    the table
``checksums.json``     of the tables
``videos/``            lossless, ``<record id>.mkv`` and ``original-<hash>.mkv``
``traces/``            ``<record id>.npz``: per-iteration series
``artefacts/``         ``<record id>.npz``: what a method returned alongside the video
``features/``          features of each video
``curves/``            ``<record id>.npz``: the curves behind values that summarise one
=====================  ==========================================================================================

Files appear complete or not at all, and a video before the line that refers to it. A process that is killed loses at
most what was not yet in the journal; a line that was cut short is dropped. Lines and files carry checksums (``lines``,
``sealed``, ``table_files``) that are verified whenever they are read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from filelock import FileLock

from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs import run_file, sealed, snapshot, table_files
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.files import AGAIN, DamagedFile, acquire, atomically, delete, held, writing
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
from vcfe_bench.runs.journal_file import JournalFile
from vcfe_bench.runs.records import Record, ScoredCard
from vcfe_bench.runs.table_files import TableFiles

if TYPE_CHECKING:
    from torch import Tensor

E = TypeVar("E", bound=Entry)

RUN, JOURNAL = "run.json", "journal.jsonl"
RECORDS, SETS, METRICS = "records.parquet", "sets.parquet", "metrics.json"
VIDEOS, TRACES, ARTEFACTS, CURVES = "videos", "traces", "artefacts", "curves"
"""Folders of videos, of what methods returned with them, and of the curves behind values, ``<record id>.npz``."""
FILES = (JOURNAL, snapshot.NAME, RECORDS, SETS, METRICS, "leaderboard.csv", table_files.NAME)
FOLDERS = (VIDEOS, TRACES, ARTEFACTS, "features", CURVES)
"""What a run consists of, besides ``run.json``."""


class RunDirectory:
    """A run directory, open for reading; ``create`` or ``lock`` it before writing.

    Attributes:
        path: the directory.
        configuration: what the run computes.
        journal: all that happened so far.
        mended: what was damaged and is made again, in sentences.
    """

    def __init__(self, path: Path, even_damaged: bool = False) -> None:
        """Open an existing run, ``even_damaged`` if lines of its journal are.

        Raises:
            UsageError: not a run, not readable, or its journal is damaged.
        """
        self.path = path
        self.mended: list[str] = []
        self.journal = JournalFile(path / JOURNAL)
        self._lock = FileLock(path / ".lock", timeout=0)
        self._read()
        if not even_damaged and self.journal.lost:
            raise UsageError(f"{self.damage()}: run the command that made the run again; it makes up for them")

    @classmethod
    def create(
        cls, path: Path, configuration: Configuration, environment: Mapping[str, Any], overwrite: bool | None = None
    ) -> RunDirectory:
        """Open the run of a configuration in ``path``, new or existing, for writing.

        An existing run may differ in its methods: it then becomes the run of this configuration, and the journal keeps
        the former one. With ``overwrite``, an existing run is deleted first, whatever it is; None is for commands that
        do not offer it. Of a damaged journal, what is whole is kept.

        Raises:
            UsageError: the directory cannot be written, holds something else or a run that differs in more than
                methods, or is in use.
        """
        new = not (path / RUN).exists() and not (path / JOURNAL).exists()
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            if new and any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise UsageError(f"{path} is not empty and not a run; choose another --out")
            if new or overwrite:
                with held(FileLock(path / ".lock", timeout=0), path):
                    for name in (*FILES, *FOLDERS) if overwrite and not new else ():
                        delete(path / name)
                    run_file.write(path / RUN, configuration, environment)
        store = cls(path, even_damaged=True)
        store.lock()
        difference = store.configuration.other_question(configuration)
        if difference:
            store.close()
            hint = "" if overwrite is None else ", or start again with --overwrite"
            raise UsageError(f"{path} holds another run ({difference}); choose another --out{hint}")
        store._repair()
        store._configure(configuration)
        return store

    def lock(self) -> None:
        """Become the only writer, until ``close`` or the end of the process.

        Raises:
            UsageError: the directory is in use by another process, or cannot be written.
        """
        acquire(self._lock, self.path)
        with writing(self.path):
            self.journal.drop_cut_line()
            self._read()
            self.journal.save_snapshot()

    def _read(self) -> None:
        tables = TableFiles.read(self.path)
        try:
            self.journal.read()
            self.journal.expect(tables.lines)
            self.tables = tables
            self.run, self.run_damaged = run_file.read(self.path / RUN, self.journal)
            self.configuration = Configuration.read(self.run["configuration"])
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{self.path} is not a run that can be read ({type(error).__name__}: {error})") from None

    def damage(self) -> str:
        """What is wrong with the journal, empty if nothing is."""
        lost = self.journal.lost
        if not lost:
            return ""
        if not self.journal.path.exists():
            return f"{self.journal.path} is missing"
        return f"{len(lost)} lines of {self.journal.path} are damaged or lost, the first is line {min(lost) + 1}"

    def _repair(self) -> None:
        """Enter into the journal that its lost lines are made again, and write ``run.json`` if it is damaged."""
        if self.journal.lost:
            self.mended.append(f"{self.damage()}: what they held is made again")
            with writing(self.path):
                self.journal.repair()
        if self.run_damaged:
            self.mended.append(f"{self.path / RUN} was damaged: written again from the journal")
            run_file.write(self.path / RUN, self.configuration, self.run["environment"])

    def _configure(self, configuration: Configuration) -> None:
        """Make this the run of a configuration."""
        before, self.configuration = self.configuration, configuration
        if self.last(Configured) is None:
            self.append(Configured(before))
        if before != configuration or list(before.methods) != list(configuration.methods):
            self.append(Configured(configuration))
            run_file.write(self.path / RUN, configuration, self.run["environment"])

    def close(self) -> None:
        if self._lock.is_locked:
            self.journal.save_snapshot()
        self._lock.release()

    def append(self, entry: Entry) -> None:
        """Write one entry to the journal; it is on the disk when this returns.

        Raises:
            CannotWrite: it cannot be written.
        """
        with writing(self.path):
            self.journal.append(entry)

    def entries(self, kind: type[E]) -> list[E]:
        """All entries of a kind, oldest first, read from the disk."""
        return list(self.journal.entries(kind))

    def last(self, kind: type[E]) -> E | None:
        """The latest entry of a kind of ``state.LATEST``."""
        return self.journal.state.last(kind)

    def records(self) -> dict[str, Record]:
        """The latest record of each task of the plan by id; results that a later plan superseded are left out."""
        tasks = {id: task.offset for id, task in self.journal.state.tasks.items()}
        plan = self.planned()
        ids = set(tasks if plan is None else plan.tasks)
        chosen = [id for id in tasks if id in ids]
        return dict(zip(chosen, self.journal.records([tasks[id] for id in chosen]), strict=True))

    def originals(self) -> dict[int, Original]:
        """The originals by index in the split."""
        return dict(self.journal.state.originals)

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
        rows, order = self.journal.state.set_rows, list(self.configuration.methods)
        present = sorted((key for key in rows if key[0] in order), key=lambda key: (order.index(key[0]), key[1]))
        return {key: rows[key] for key in present}

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
            CannotWrite: it cannot be written.
            RuntimeError: they are not the pixels given.
        """
        from vcfe_bench.video import lossless  # imports torch, which tables do not need

        path = self._put(VIDEOS, name + lossless.SUFFIX, lambda file: lossless.write(file, pixels, fps))
        stored = lossless.read(path)
        if not stored.equal(pixels):
            raise RuntimeError(f"{path} does not hold what was written")
        return stored

    def video(self, name: str, sha256: str | None = None) -> Tensor:
        """The uint8 pixels of a stored video.

        Args:
            sha256: the content hash that they have to have; the checksum of the file is verified without it too.

        Raises:
            DamagedFile: the file is missing or not what was written.
        """
        from vcfe_bench.video import lossless

        path = self.path / VIDEOS / (name + lossless.SUFFIX)
        try:
            self.content(VIDEOS, path.name)
            pixels = lossless.read(path)
            intact = sha256 is None or lossless.content_hash(pixels) == sha256
        except OSError:
            intact = False
        if not intact:
            raise DamagedFile(f"{path} is missing or damaged: {AGAIN}")
        return pixels

    def has_video(self, name: str) -> bool:
        """Whether there is a file of a video, damaged or not."""
        from vcfe_bench.video import lossless

        return (self.path / VIDEOS / (name + lossless.SUFFIX)).exists()

    def put_arrays(self, folder: str, name: str, arrays: Mapping[str, Any]) -> None:
        """Store named arrays as ``<folder>/<name>.npz``; nothing when there are none.

        Raises:
            CannotWrite: they cannot be written.
        """
        if arrays:
            content = {key: np.asarray(value) for key, value in arrays.items()}
            self._put(folder, name + ".npz", lambda file: _save(file, content))

    def arrays(self, folder: str, name: str) -> dict[str, np.ndarray] | None:
        """What ``put_arrays`` stored, or None.

        Raises:
            DamagedFile: the file is not what was written.
        """
        path = self.path / folder / (name + ".npz")
        if not path.exists():
            return None
        try:
            with np.load(io.BytesIO(self.content(folder, path.name))) as content:
                return dict(content)
        except Exception:  # numpy and zipfile raise exceptions of many kinds for damaged files
            raise DamagedFile(f"{path} is damaged: {AGAIN}") from None

    def content(self, folder: str, name: str) -> bytes:
        """The content of a file that ``put_video`` or ``put_arrays`` stored.

        Raises:
            sealed.Damaged: it is not what was written.
            OSError: it cannot be read.
        """
        required = not self.journal.state.old
        return sealed.content(self.path / folder / name, f"{folder}/{name}", required)

    def put_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as parquet or csv, by the name's suffix."""
        save = table.to_parquet if name.endswith(".parquet") else table.to_csv
        atomically(self.path / name, lambda file: save(file, index=False))
        self.tables.add(name)

    def table(self, name: str, without: Sequence[str] = ()) -> pd.DataFrame:
        """A table that ``put_table`` wrote as parquet; ``tables`` has functions that make a damaged one again.

        Args:
            without: columns that are not needed.

        Raises:
            DamagedFile: it is not what was written.
            UsageError: there is none yet.
        """
        try:
            content = self.tables.content(name)
            columns = [each for each in pq.read_schema(io.BytesIO(content)).names if each not in without]
            return pd.read_parquet(io.BytesIO(content), columns=columns)
        except FileNotFoundError:
            raise UsageError(f"{self.path} has no {name} yet; run or score it first") from None
        except (OSError, ValueError):
            raise DamagedFile(f"{self.path / name} is damaged: {AGAIN}") from None

    def put_json(self, name: str, content: Any) -> None:
        _write_json(self.path / name, content)
        self.tables.add(name)

    def json(self, name: str) -> Any:
        """What ``put_json`` wrote.

        Raises:
            DamagedFile: it is not what was written.
            UsageError: there is none yet.
        """
        try:
            return json.loads(self.tables.content(name))
        except FileNotFoundError:
            raise UsageError(f"{self.path} has no {name} yet; run or score it first") from None
        except ValueError:
            raise DamagedFile(f"{self.path / name} is damaged: {AGAIN}") from None

    def put_checksums(self) -> None:
        """Store the checksums of all tables, which are those of the journal as it is."""
        self.tables.write(self.journal.lines)

    def _put(self, folder: str, name: str, write: Any) -> Path:
        path = self.path / folder / name

        def sealed_file(temporary: Path) -> None:
            write(temporary)
            sealed.seal(temporary, f"{folder}/{name}")

        atomically(path, sealed_file)
        return path


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_json(path: Path, content: Any) -> None:
    atomically(path, lambda file: file.write_text(json.dumps(content, indent=2)))
