"""A run of many records, written through the store, and what it costs to open, show and check it.

``python -m tests.scale --videos 100000 --out FOLDER`` prints the table of ``docs/scale.md``. Every step is a process of
its own, so its greatest memory is its own.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from vcfe_bench.core.environment import environment
from vcfe_bench.results.leaderboard import write as write_leaderboard
from vcfe_bench.runs.configuration import REFERENCES, Configuration, MethodIdentity, NetworkIdentity
from vcfe_bench.runs.journal import Original, Planned, Scored, Scores, Session
from vcfe_bench.runs.records import Record, ScoredCard
from vcfe_bench.runs.run_directory import RECORDS, RunDirectory
from vcfe_bench.workflows.scored_run import write_tables

METHODS = (*(f"method_{number}" for number in range(5)), *REFERENCES)
RATES, MEANS = 6, 14
"""Number of metrics that are rates, and of those that are means: of skewed values, as distances are."""
CARDS = tuple(
    ScoredCard(
        name,
        name,
        "sample",
        criterion="validity" if unit else "proximity",
        direction="higher" if unit else "lower",
        unit=unit,
        version=1,
        range=(0.0, 1.0) if unit else (0.0, math.inf),
        unanswered=0.0 if unit else None,
    )
    for name, unit in [
        *((f"rate_{number}", "rate") for number in range(RATES)),
        *((f"mean_{number}", "") for number in range(MEANS)),
    ]
)


def configuration(videos: int) -> Configuration:
    """Of the synthetic run."""
    return Configuration(
        methods={method: MethodIdentity("0" * 16, "", 8) for method in METHODS},
        dataset="synthetic",
        split="test",
        limit=videos,
        goals="each",
        target=NetworkIdentity("synthetic", "0" * 16),
        classes=("a", "b", "c"),
        generator=None,
        seed=0,
        threads=1,
    )


def values(seed: int) -> dict[str, float]:
    """Scores of one record."""
    rng = np.random.default_rng(seed)
    rates, means = (rng.random(RATES) < 0.4).astype(float), rng.lognormal(size=MEANS)
    return dict(zip((card.name for card in CARDS), [*rates.tolist(), *means.tolist()], strict=True))


def identity(method: int, index: int, seed: int = 0) -> str:
    return f"{seed:04x}{method:04x}{index:012x}"


def write(path: Path, videos: int, seed: int = 0, durable: bool = True) -> RunDirectory:
    """Write a run through the store, as a run does: originals, plan, records, scores. Without ``durable``, nothing is
    synced to the disk."""
    sync = os.fsync
    try:
        if not durable:
            os.fsync = lambda descriptor: None
        store = RunDirectory.create(path, configuration(videos), environment())
        for index in range(videos):
            sha256 = f"{index:064x}"
            store.append(Original(index, f"video-{index}", index % 3, 25.0, sha256, (0.7, 0.2, 0.1)))
        ids = tuple(identity(method, index, seed) for method in range(len(METHODS)) for index in range(videos))
        store.append(Planned(ids))
        store.append(Session(**environment()))
        for record in records(videos, seed):
            store.append(record)
        versions = {card.name: 1 for card in CARDS}
        for number, id in enumerate(ids):
            store.append(Scores(id, values(number * 2 + seed), versions))
        store.append(Scored(CARDS, tuple(card.spec for card in CARDS)))
    finally:
        os.fsync = sync
    return store


def records(videos: int, seed: int = 0) -> Iterator[Record]:
    """The records of the run, in the order of its plan."""
    for place, method in enumerate(METHODS):
        for index in range(videos):
            id = identity(place, index, seed)
            yield Record(
                id=id,
                method=method,
                sample=f"video-{index}",
                index=index,
                label=index % 3,
                prediction=0,
                goal=f"class={1 + index % 2}",
                status="ok",
                met=bool(index % 2),
                before=(0.7, 0.2, 0.1),
                after=(0.1, 0.8, 0.1),
                original=f"original-{index:016x}",
                video=id,
                video_sha256=f"{(place << 40) + index + (seed << 60):064x}",
                seconds=1.5,
                peak_memory_mb=900.0,
                calls=60.0,
                forwards={"target": 20, "generator": 20},
                backwards={"target": 10},
            )


def grown(path: Path, count: int) -> float:
    """Bytes by which this process grows for each of ``count`` records that are appended."""
    shutil.rmtree(path, ignore_errors=True)
    os.fsync = lambda descriptor: None
    store, process = RunDirectory.create(path, configuration(count), environment()), psutil.Process()
    before = 0
    for number, record in enumerate(records(count)):
        if number == 1000:
            before = process.memory_info().rss
        if number == 1000 + count:
            break
        store.append(replace(record, id=f"{number:020x}"))
    after = process.memory_info().rss
    store.close()
    return (after - before) / count


def resume(path: Path) -> None:
    """Open, lock, and find out what is left."""
    store = RunDirectory(path)
    store.lock()
    plan = store.planned()
    done = {id for id, task in store.journal.state.of_plan() if task.status == "ok"}
    assert plan is not None
    assert done == set(plan.tasks)
    assert len(store.originals()) == store.configuration.limit
    store.close()


def show(path: Path) -> None:
    """The leaderboard."""
    from vcfe_bench.results import leaderboard

    board = leaderboard.load(path)
    assert (board.frame["n"] == RunDirectory(path).configuration.limit).all()


def check(path: Path, other: Path) -> None:
    """Compare two runs."""
    from vcfe_bench.results.gate import baseline, gate

    assert gate.check(baseline.of_run(path), baseline.of_run(other), {})


def make(path: Path, videos: int) -> None:
    """Write a run, without syncing."""
    shutil.rmtree(path, ignore_errors=True)
    store = write(path, videos, durable=False)
    store.close()


def vary(path: Path, other: Path) -> None:
    """Copy a run, and give the records of the copy other videos and other scores."""
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(path, other)
    store, rng = RunDirectory(other), np.random.default_rng(0)
    table = store.table(RECORDS)
    for card in CARDS:
        noise = rng.random(len(table)) < 0.4 if card.unit else rng.lognormal(size=len(table))
        table[card.name] = np.where(rng.random(len(table)) < 0.5, table[card.name], noise)
    table["video_sha256"] = [f"{number:064x}" for number in range(len(table))]
    store.put_table(RECORDS, table)
    write_leaderboard(store)
    store.put_checksums()


def finish(path: Path) -> None:
    """Write the tables, as the end of a run does."""
    store = RunDirectory(path)
    store.lock()
    write_tables(store)
    store.close()


def main() -> None:
    """Run all steps, each in its own process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--step")
    given = parser.parse_args()
    one, two = given.out / "one", given.out / "two"
    steps: dict[str, Callable[[], object]] = {
        "write": lambda: make(one, given.videos),
        "resume without a snapshot": lambda: ((one / "journal.snapshot").unlink(missing_ok=True), resume(one)),
        "resume": lambda: resume(one),
        "write the tables": lambda: finish(one),
        "leaderboard": lambda: show(one),
        "write other tables": lambda: vary(one, two),
        "check": lambda: check(one, two),
        "append": lambda: print(f"{grown(given.out / 'grown', given.videos):.0f} bytes of memory a record"),
    }
    if given.step:
        steps[given.step]()
        return
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"{given.videos} videos x {len(METHODS)} methods, {len(CARDS)} metrics", flush=True)
    for step in steps:
        command = [sys.executable, "-m", "tests.scale", "--videos", str(given.videos), "--out", str(given.out)]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--step", step], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        result = (process.stdout.read().strip().splitlines() or [""])[-1]
        used = os.wait4(process.pid, 0)[2]
        wall, cpu, memory = time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
        print(f"{step:32} {wall:8.1f} s {cpu:8.1f} s of CPU {memory:6.2f} GB  {result}", flush=True)
    for file in sorted(one.iterdir()):
        print(f"{file.name:32} {file.stat().st_size / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
