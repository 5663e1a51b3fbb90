"""Cache of clips from recorded videos, converted to one size, length and frame rate and stored losslessly.

Conversion runs in parallel processes and resumes after an interruption. Videos that cannot be used are recorded with
the reason. This module does not import torch, so that worker processes start quickly.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.video import decoding
from vcfe_bench.video.timeline import Source, Timeline, Undecodable, nearest

VERSION = 3
"""Version of the conversion; after a change, all clips are converted again."""
GONE = (0, 0)
"""Stamp of a file that does not exist; its entry is not written to the journal."""


@dataclass(frozen=True)
class Preparation:
    """Clip format: the centre square of a video, scaled to ``size`` × ``size`` pixels, in ``frames`` frames.

    Attributes:
        frames: number of frames. A video that is too short is extended by repeating its last frame.
        size: side in pixels.
        fps: nominal frame rate of the clip; None for the rate that preserves the speed of the video.
        step: every ``step``-th frame is taken, starting with the first; None to spread the frames over the whole video.
    """

    frames: int
    size: int
    fps: float | None = None
    step: int | None = None


@dataclass(frozen=True)
class Entry:
    """Result of the conversion of a video.

    Attributes:
        stamp: size and modification time (in nanoseconds) of the file that was read.
        problem: why the video cannot be used; empty if it can. If there is a problem, the other fields keep their
            defaults.
        fps: frames per second of the clip.
        picked: for each frame of the clip, the index of the frame of the video.
        height: height of the video, in pixels.
        width: width of the video, in pixels.
        length: number of frames of the video.
        remarks: what a user should know about the video although it can be used.
    """

    stamp: tuple[int, int]
    problem: str = ""
    fps: float = 0.0
    picked: tuple[int, ...] = ()
    height: int = 0
    width: int = 0
    length: int = 0
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A conversion of ``source`` into the clip ``file``."""

    id: str
    source: Source
    preparation: Preparation
    file: Path


def make(job: Job) -> Entry:
    """Convert one video; the clip is written atomically."""
    path, preparation = job.source.path, job.preparation
    try:
        status = path.stat()
    except OSError as error:
        return Entry(GONE, f"cannot be read: {error.strerror}")
    stamp = status.st_size, status.st_mtime_ns
    try:
        timeline = job.source.timeline()
        if len(timeline.ticks) == 1:
            return Entry(stamp, "has one frame only")
        picked = nearest(timeline, preparation.frames, preparation.step)
        height, width, clip = decoding.clip(job.source, picked, preparation.size)
    except Undecodable as error:
        return Entry(stamp, str(error))
    except OSError as error:
        return Entry(stamp, f"cannot be read: {error.strerror or error}")
    except Exception as error:
        return Entry(stamp, f"cannot be decoded: {describe(error)}")
    fps = preparation.fps or _fps(timeline, preparation)
    job.file.parent.mkdir(parents=True, exist_ok=True)
    partial = job.file.with_suffix(f".{os.getpid()}.part")
    decoding.write_lossless(partial, clip, fps)
    partial.replace(job.file)
    return Entry(stamp, "", fps, tuple(picked.tolist()), height, width, len(timeline.ticks), timeline.remarks)


def _fps(timeline: Timeline, preparation: Preparation) -> float:
    """The frame rate of the clip that preserves the speed of the video."""
    if preparation.step is None:
        return (preparation.frames - 1) / timeline.seconds
    return (len(timeline.ticks) - 1) / timeline.seconds / preparation.step


class ClipCache:
    """The clips of one dataset in one format, in a folder with a journal of their entries."""

    def __init__(self, folder: Path, preparation: Preparation) -> None:
        self.folder, self.preparation = folder, preparation

    def file(self, id: str) -> Path:
        """Path of the clip of a video."""
        name = hashlib.sha256(id.encode()).hexdigest()[:20]
        return self.folder / name[:2] / f"{name[2:]}.mkv"

    def fill(self, sources: Mapping[str, Source], title: str, workers: int | None = None) -> dict[str, Entry]:
        """Entries of the videos by id. Clips that are missing, or whose video has changed, are converted first.

        A progress bar is shown under ``title``. ``workers`` is the number of processes, by default one for each
        available core.

        Raises:
            UsageError: clips cannot be written, for instance because the disk is full.
        """
        try:
            return self._fill(sources, title, workers or _cores())
        except OSError as error:
            raise UsageError(
                f"cannot write clips to {self.folder}: {error.strerror or error}; "
                "free disk space there, or set VCFE_BENCH_CACHE to another folder"
            ) from error

    def _fill(self, sources: Mapping[str, Source], title: str, workers: int) -> dict[str, Entry]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            entries = self._read()
            jobs = [
                Job(id, source, self.preparation, self.file(id))
                for id, source in sources.items()
                if not self._current(id, source, entries.get(id))
            ]
            if jobs:
                with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
                    for id, entry in _with_progress(jobs, title, workers):
                        entries[id] = entry
                        if entry.stamp != GONE:
                            journal.write(json.dumps({"id": id, **asdict(entry)}) + "\n")
                            journal.flush()
        return {id: entries[id] for id in sources}

    def _read(self) -> dict[str, Entry]:
        """Entries of the journal by id; the last one of an id counts, and incomplete lines are ignored."""
        entries: dict[str, Entry] = {}
        try:
            lines = (self.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return entries
        for line in lines:
            try:
                fields: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            id = fields.pop("id")
            for name in ("stamp", "picked", "remarks"):
                fields[name] = tuple(fields.get(name, ()))
            entries[id] = Entry(**fields)
        return entries

    def _current(self, id: str, source: Source, entry: Entry | None) -> bool:
        """Whether an entry is up to date and its clip exists."""
        try:
            status = source.path.stat()
        except OSError:
            return False
        if entry is None or entry.stamp != (status.st_size, status.st_mtime_ns):
            return False
        return bool(entry.problem) or self.file(id).exists()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _with_progress(jobs: Sequence[Job], title: str, workers: int) -> Iterator[tuple[str, Entry]]:
    """Entries by id as the conversions finish, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    results = _in_parallel(jobs, workers) if workers > 1 else ((job.id, make(job)) for job in jobs)
    yield from track(results, title, total=len(jobs), console=Console(file=sys.stderr))


def _in_parallel(jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, Entry]]:
    """Entries by id from worker processes.

    If a video crashes its worker, the remaining videos are converted one by one to find it.
    """
    remaining = {job.id: job for job in jobs}
    pool = _pool(min(workers, len(jobs)))
    try:
        futures = {pool.submit(make, job): job.id for job in jobs}
        for future in as_completed(futures):
            entry = future.result()
            del remaining[futures[future]]
            yield futures[future], entry
    except BrokenProcessPool:
        for job in remaining.values():
            yield job.id, _isolated(job)
    finally:
        pool.shutdown(cancel_futures=True)


def _isolated(job: Job) -> Entry:
    """The entry of a job that runs in a process of its own."""
    try:
        with _pool(1) as pool:
            return pool.submit(make, job).result()
    except BrokenProcessPool:
        status = job.source.path.stat()
        return Entry((status.st_size, status.st_mtime_ns), "the decoder crashed on it")


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
