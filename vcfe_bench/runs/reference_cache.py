"""Results of reference methods, kept across runs by content, so that a new run directory need not compute them again.

They are stored under ``references/`` in the cache folder (``core.weights.cache``), as ``<key>.mkv`` and ``<key>.json``.
The key hashes the task's identity and everything else that may change a bit: the dataset's spec and code, the versions
of packages, the kind of processor. Entries are written atomically and verified when they are read; a damaged one counts
as missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from vcfe_bench.core import devices, weights
from vcfe_bench.core.environment import environment
from vcfe_bench.plugins.source import code_identity
from vcfe_bench.runs.configuration import PROTOCOL, REFERENCES
from vcfe_bench.runs.micro_batch import Outcome
from vcfe_bench.runs.plan import Task
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless

LIMIT = 2_000_000_000
"""Bytes from which on the entries that were not used for longest are deleted."""


@dataclass(frozen=True)
class _Entry:
    """What is kept of a result besides its pixels: the content hash of these, and the original costs."""

    sha256: str
    seconds: float
    padded: int
    peak_memory_mb: float
    calls: float
    forwards: dict[str, int]
    backwards: dict[str, int]


_ENTRY = TypeAdapter(_Entry)


class ReferenceCache:
    """The cached results for the tasks of one setup."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.folder = weights.cache() / "references"

    def outcomes(self, tasks: tuple[Task, ...], done: set[str]) -> Iterator[Outcome]:
        """The cached results of those tasks that are not ``done``."""
        for task in tasks:
            if task.method in REFERENCES and task.skip is None and task.id not in done:
                outcome = self._read(task)
                if outcome is not None:
                    yield outcome

    def keep(self, outcome: Outcome) -> None:
        """Put the result of a reference method into the cache; other results are ignored.

        A cache that cannot be written is left as it is.
        """
        if outcome.pixels is None or outcome.task.method not in REFERENCES or outcome.trace or outcome.artefacts:
            return
        record, video = outcome.record, self._path(outcome.task)
        entry = _Entry(
            lossless.content_hash(outcome.pixels),
            record.seconds,
            record.padded,
            record.peak_memory_mb,
            record.calls,
            dict(record.forwards),
            dict(record.backwards),
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = video.with_name(f".{os.getpid()}-{video.name}")
            lossless.write(temporary, outcome.pixels, outcome.task.original.fps)
            temporary.replace(video)
            temporary.with_suffix(".json").write_text(json.dumps(asdict(entry)))
            temporary.with_suffix(".json").replace(video.with_suffix(".json"))
        except OSError:
            pass

    def shrink(self) -> None:
        """Delete the entries that were not used for longest, until no more than ``LIMIT`` bytes are kept."""
        files = {file: file.stat() for file in self.folder.glob(f"[!.]*{lossless.SUFFIX}")}
        kept = 0
        for video in sorted(files, key=lambda file: files[file].st_mtime, reverse=True):
            kept += files[video].st_size
            if kept > LIMIT:
                video.unlink(missing_ok=True)
                video.with_suffix(".json").unlink(missing_ok=True)

    def _read(self, task: Task) -> Outcome | None:
        video = self._path(task)
        try:
            entry = _ENTRY.validate_json(video.with_suffix(".json").read_text())
            pixels = lossless.read(video)
            video.touch()
        except (OSError, ValueError):
            return None
        if lossless.content_hash(pixels) != entry.sha256:
            return None
        record = replace(
            task.record("ok"),
            seconds=entry.seconds,
            padded=entry.padded,
            peak_memory_mb=entry.peak_memory_mb,
            calls=entry.calls,
            forwards=entry.forwards,
            backwards=entry.backwards,
        )
        return Outcome(task, record, pixels)

    def _path(self, task: Task) -> Path:
        content = json.dumps({"task": task.id, **self._surroundings}, sort_keys=True)
        return self.folder / (hashlib.sha256(content.encode()).hexdigest()[:32] + lossless.SUFFIX)

    @cached_property
    def _surroundings(self) -> dict[str, Any]:
        here = environment()
        return {
            "protocol": PROTOCOL,
            "dataset": [self.setup.dataset.spec, code_identity(type(self.setup.dataset))],
            "versions": here["versions"],
            "processor": [here["machine"][part] for part in ("cpu", "instructions")],
            "device": devices.default().type,
        }
