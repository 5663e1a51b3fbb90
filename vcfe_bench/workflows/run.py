"""Runs what is planned and not yet done, one micro-batch at a time, and keeps what comes of it."""

from __future__ import annotations

from pathlib import Path

from vcfe_bench.core.environment import environment
from vcfe_bench.executors import serial
from vcfe_bench.plugins import registry
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.configuration import THREADS, short_hash
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.scoring import score as scoring


def run(
    asked: Request, out: Path | None = None, metrics: tuple[str, ...] | None = None, observer: Observer | None = None
) -> Path:
    """Make the counterfactuals of a request, score them, write all tables; return the run's directory.

    What the directory already holds is not done again; failures are. ``out`` defaults to
    ``runs/<dataset>-<hash of the configuration>``; ``metrics`` are specs, by default all that are registered.

    Raises:
        UsageError: anything the user has to change.
    """
    observer = observer or Observer()
    setup = resolve(asked)
    configuration = setup.configuration()
    for spec in metrics or ():
        registry.METRICS.build(spec)
    out = out or Path("runs") / f"{setup.dataset.spec.partition('[')[0]}-{short_hash(configuration)}"
    store = RunDirectory.create(out, configuration, environment())
    try:
        with serial.threads(THREADS):
            generate(setup, store, observer)
            scoring.score(store, setup.dataset, metrics, observer)
    finally:
        scoring.write(store)
        leaderboard.write(store)
        store.close()
    return out


def rescore(directory: Path, metrics: tuple[str, ...] | None = None, observer: Observer | None = None) -> None:
    """Score the stored counterfactuals of a run anew and write its tables.

    Raises:
        UsageError: not a run, in use, an unknown metric, or a dataset that is not the one that was run.
    """
    store = RunDirectory(directory)
    store.lock()
    try:
        with serial.threads(THREADS):
            dataset = registry.DATASETS.build(store.configuration["dataset"])
            scoring.score(store, dataset, metrics, observer or Observer(), fresh=True)
        scoring.write(store)
        leaderboard.write(store)
    finally:
        store.close()
