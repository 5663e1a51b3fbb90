"""The directory of a run.

=====================  ==========================================================================================
``run.json``           the resolved configuration, and the environment of the first session
``journal.jsonl``      one line per thing done, synced to disk; the truth that all tables are written from
``records.parquet``    one row per method, video and goal
``sets.parquet``       one row per method and set metric
``metrics.json``       the cards of the metrics in the tables, and why some are empty
``leaderboard.csv``    the table
``videos/``            losslessly, ``<record id>.mkv`` and ``original-<hash>.mkv``
``traces/``            ``<record id>.npz``: per-iteration series
``artefacts/``         ``<record id>.npz``: what a method made beside the video
``features/``          what feature networks said of each video
``curves/``            ``<record id>.npz``: the curves behind values that sum one up
=====================  ==========================================================================================

Files appear complete or not at all, a video before the line that speaks of it. A kill at any moment loses at most what
was not yet in the journal, and a line cut short is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs import journal
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.journal import Entry, Original, Planned, RealVideos, Scored, Scores, SetRow
from vcfe_bench.runs.records import Record, ScoredCard

if TYPE_CHECKING:
    from torch import Tensor

E = TypeVar("E", bound=Entry)

RUN, JOURNAL = "run.json", "journal.jsonl"
RECORDS, SETS, METRICS = "records.parquet", "sets.parquet", "metrics.json"
CURVES = "curves"
"""Folder of the curves behind values, ``<record id>.npz``."""
Line = dict[str, Any]


class RunDirectory:
    """A run directory, open for reading; ``create`` or ``lock`` it before writing.

    Attributes:
        path: the directory.
        configuration: what the run computes.
        journal: all complete lines so far.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing run.

        Raises:
            UsageError: not a run, or not readable.
        """
        self.path = path
        try:
            self.configuration = Configuration.read(json.loads((path / RUN).read_text())["configuration"])
            self.journal = journal.read(path / JOURNAL)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{path} is not a run that can be read ({type(error).__name__}: {error})") from None
        self._lock = FileLock(path / ".lock", timeout=0)

    @classmethod
    def create(cls, path: Path, configuration: Configuration, environment: Mapping[str, Any]) -> RunDirectory:
        """Open the run of this configuration in ``path``, new or begun before, for writing.

        Raises:
            UsageError: the directory cannot be written, holds something else or another configuration, or is in use.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / RUN).exists():
                if any(not entry.name.startswith(".") for entry in path.iterdir()):
                    raise UsageError(f"{path} is not empty and not a run; choose another --out")
                content = {"configuration": configuration.write(), "environment": environment}
                _atomically(path / RUN, lambda file: file.write_text(json.dumps(content, indent=2)))
        except OSError as error:
            raise UsageError(f"cannot write to {path}: {error.strerror or error}") from None
        store = cls(path)
        if store.configuration != configuration:
            difference = _difference(store.configuration.write(), configuration.write())
            raise UsageError(f"{path} holds another run ({difference}); choose another --out")
        store.lock()
        return store

    def lock(self) -> None:
        """Become the only writer, until ``close`` or the end of the process.

        Raises:
            UsageError: somebody else is, or the directory cannot be written.
        """
        try:
            self._lock.acquire()
            journal.drop_cut_line(self.path / JOURNAL)
            self.journal = journal.read(self.path / JOURNAL)
        except Timeout:
            raise UsageError(f"{self.path} is in use by another process") from None
        except OSError as error:
            raise UsageError(f"cannot write to {self.path}: {error.strerror or error}") from None

    def close(self) -> None:
        self._lock.release()

    def append(self, entry: Entry | str, **fields: Any) -> None:
        """Write one entry to the journal; it is on the disk when this returns."""
        if isinstance(entry, str):  # until all writers pass entries
            entry = journal._ADAPTERS[entry].validate_python(fields)
        journal.append(self.path / JOURNAL, entry)
        self.journal.append(entry)

    def entries(self, kind: type[E]) -> list[E]:
        """All entries of a kind, oldest first."""
        return [entry for entry in self.journal if isinstance(entry, kind)]

    def last(self, kind: type[E]) -> E | None:
        """The latest entry of a kind."""
        return next((entry for entry in reversed(self.journal) if isinstance(entry, kind)), None)

    def records(self) -> dict[str, Record]:
        """The latest record of each task by id."""
        return {record.id: record for record in self.entries(Record)}

    def originals(self) -> dict[int, Original]:
        """The originals by index in the split."""
        return {original.index: original for original in self.entries(Original)}

    def planned(self) -> Planned | None:
        """The latest plan."""
        return self.last(Planned)

    def scores(self) -> list[Scores]:
        """Values of sample metrics, oldest first."""
        return self.entries(Scores)

    def set_rows(self) -> dict[tuple[str, str], SetRow]:
        """The latest value of each set or pair metric by method and metric name."""
        return {(row.method, row.metric): row for row in self.entries(SetRow)}

    def real_videos(self) -> tuple[str, ...]:
        """Content hashes of the reference (real) videos, as of the last scoring."""
        real = self.last(RealVideos)
        return real.sha256 if real else ()

    def cards(self) -> list[ScoredCard]:
        """Cards of the metrics as of the last scoring, computed or not."""
        scored = self.last(Scored)
        return list(scored.cards) if scored else []

    def lines(self, kind: str) -> list[dict[str, Any]]:  # until all readers use entries
        return [json.loads(json.dumps(asdict(entry))) for entry in self.entries(journal.KINDS[kind])]

    def tasks(self) -> dict[str, dict[str, Any]]:  # until all readers use records
        return {line["id"]: line for line in self.lines("task")}

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
        _atomically(self.path / name, lambda file: file.write_text(json.dumps(content, indent=2)))

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


def _difference(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> str:
    """The first entry in which two configurations differ, for people."""
    for key, value in requested.items():
        old = stored.get(key)
        if old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            if key == "methods" and set(old) == set(value):
                changed = ", ".join(name for name in value if old[name] != value[name])
                return f"code or weights of {changed} have changed"
            if key == "methods":
                return f"with {', '.join(sorted(set(old) ^ set(value)))} on one side only"
            if old.get("spec") == value.get("spec"):
                return f"the weights of {key} {old.get('spec')} have changed"
            old, value = old.get("spec"), value.get("spec")
        return f"{key} {old}, not {value}"
    return "of another version"
