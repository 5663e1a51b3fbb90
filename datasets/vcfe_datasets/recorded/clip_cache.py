"""Clips made once of recorded videos: brought to one size, length and rate, and kept without loss.

The work is spread over processes and goes on where it stopped. What cannot be used is entered with its reason. Nothing
here imports torch, so that worker processes start fast.
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

import numpy as np
from filelock import FileLock

from vcfe_bench.core.errors import UsageError
from vcfe_bench.video import decoding
from vcfe_bench.video.decoding import Source, Undecodable

VERSION = 1
"""Version of the preparation; a change to it makes all clips anew."""
GONE = (0, 0)
"""Stamp of a file that is not there; the journal does not keep what came of it."""


@dataclass(frozen=True)
class Preparation:
    """What is made of every video: the centre square in ``size`` × ``size`` pixels, in ``frames`` frames.

    The frames are spread over the whole video or, with a ``step``, are every ``step``-th from the first; a video that
    ends too early stays at its last frame. ``fps`` is the rate the clip is said to have; None: the rate that keeps
    the speed of the video.
    """

    frames: int
    size: int
    fps: float | None = None
    step: int | None = None


@dataclass(frozen=True)
class Entry:
    """What came of a video.

    Attributes:
        stamp: size and time of change of the file that was read.
        problem: why it cannot be used, empty where it can; then the rest is empty too.
        fps: frames per second of the clip.
        picked: which frame of the video each frame of the clip is.
        height: of the video, in pixels.
        width: of the video, in pixels.
    """

    stamp: tuple[int, int]
    problem: str = ""
    fps: float = 0.0
    picked: tuple[int, ...] = ()
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class Job:
    """A clip to be made in ``file``."""

    id: str
    source: Source
    preparation: Preparation
    file: Path


def make(job: Job) -> Entry:
    """Make one clip; the file appears whole or not at all."""
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
        picked = decoding.nearest(timeline, preparation.frames, preparation.step)
        height, width, clip = _frames(job, picked)
    except Undecodable as error:
        return Entry(stamp, str(error))
    except OSError as error:
        return Entry(stamp, f"cannot be read: {error.strerror or error}")
    fps = preparation.fps or _fps(timeline, preparation)
    job.file.parent.mkdir(parents=True, exist_ok=True)
    beside = job.file.with_suffix(f".{os.getpid()}.part")
    decoding.write_lossless(beside, clip, fps)
    beside.replace(job.file)
    return Entry(stamp, "", fps, tuple(picked.tolist()), height, width)


def _frames(job: Job, picked: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Height and width of the video, and the clip, uint8 ``[T, size, size, 3]``."""
    found: list[np.ndarray] = []
    shape: tuple[int, ...] = ()
    for picture in job.source.pictures(set(picked.tolist())):
        shape = shape or picture.shape
        if picture.shape != shape:
            raise Undecodable(
                f"frames of different sizes: {shape[1]}x{shape[0]}, {picture.shape[1]}x{picture.shape[0]}"
            )
        found.append(decoding.square(picture, job.preparation.size))
    _, place = np.unique(picked, return_inverse=True)
    return shape[0], shape[1], np.stack(found)[place]


def _fps(timeline: decoding.Timeline, preparation: Preparation) -> float:
    if preparation.step is None:
        return (preparation.frames - 1) / timeline.seconds
    return (len(timeline.ticks) - 1) / timeline.seconds / preparation.step


class ClipCache:
    """The clips of one dataset under one preparation, in a folder with a journal of what is there."""

    def __init__(self, folder: Path, preparation: Preparation) -> None:
        self.folder, self.preparation = folder, preparation

    def file(self, id: str) -> Path:
        """Where the clip of a video is kept."""
        name = hashlib.sha256(id.encode()).hexdigest()[:20]
        return self.folder / name[:2] / f"{name[2:]}.mkv"

    def fill(self, sources: Mapping[str, Source], title: str, workers: int | None = None) -> dict[str, Entry]:
        """Entries of the videos by id; clips that are missing, or whose video changed, are made, with a progress bar.

        ``workers`` is the number of processes, by default one for each core that may be used.

        Raises:
            UsageError: there is no room, or no right, to keep clips.
        """
        try:
            return self._fill(sources, title, workers or _cores())
        except OSError as error:
            raise UsageError(
                f"cannot keep clips in {self.folder}: {error.strerror or error}; "
                "make room there, or set VCFE_BENCH_CACHE to another folder"
            ) from error

    def _fill(self, sources: Mapping[str, Source], title: str, workers: int) -> dict[str, Entry]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            known = self._read()
            jobs = [
                Job(id, source, self.preparation, self.file(id))
                for id, source in sources.items()
                if not self._current(id, source, known.get(id))
            ]
            if jobs:
                with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
                    for id, entry in _shown(jobs, title, workers):
                        known[id] = entry
                        if entry.stamp != GONE:
                            journal.write(json.dumps({"id": id, **asdict(entry)}) + "\n")
                            journal.flush()
        return {id: known[id] for id in sources}

    def _read(self) -> dict[str, Entry]:
        """The journal; the last line counts, and one that an interrupt tore off is left out."""
        found: dict[str, Entry] = {}
        try:
            lines = (self.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                fields: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            id, fields["stamp"], fields["picked"] = fields.pop("id"), tuple(fields["stamp"]), tuple(fields["picked"])
            found[id] = Entry(**fields)
        return found

    def _current(self, id: str, source: Source, entry: Entry | None) -> bool:
        try:
            status = source.path.stat()
        except OSError:
            return False
        if entry is None or entry.stamp != (status.st_size, status.st_mtime_ns):
            return False
        return bool(entry.problem) or self.file(id).exists()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shown(jobs: Sequence[Job], title: str, workers: int) -> Iterator[tuple[str, Entry]]:
    """Entries by id as they are made, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    made = _spread(jobs, workers) if workers > 1 else ((job.id, make(job)) for job in jobs)
    yield from track(made, title, total=len(jobs), console=Console(file=sys.stderr))


def _spread(jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, Entry]]:
    """Entries by id from worker processes. A video that kills its worker is found by trying those left one by one."""
    left = {job.id: job for job in jobs}
    pool = _pool(min(workers, len(jobs)))
    try:
        futures = {pool.submit(make, job): job.id for job in jobs}
        for future in as_completed(futures):
            entry = future.result()
            del left[futures[future]]
            yield futures[future], entry
    except BrokenProcessPool:
        for job in left.values():
            yield job.id, _alone(job)
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(job: Job) -> Entry:
    try:
        with _pool(1) as pool:
            return pool.submit(make, job).result()
    except BrokenProcessPool:
        status = job.source.path.stat()
        return Entry((status.st_size, status.st_mtime_ns), "the decoder crashed on it")


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
