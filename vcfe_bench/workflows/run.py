"""``vcfe-bench run`` and ``rescore``: make the counterfactuals of a request, score them, write the tables."""

from __future__ import annotations

from pathlib import Path

from vcfe_bench.executors import choice, serial
from vcfe_bench.executors.interface import Executor
from vcfe_bench.plugins import apart, registry
from vcfe_bench.runs import damage, sanity
from vcfe_bench.runs.configuration import THREADS, Configuration
from vcfe_bench.runs.files import AGAIN, DamagedFile
from vcfe_bench.runs.found import RUNS
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.runs.shards import Shard
from vcfe_bench.scoring.session import score_run
from vcfe_bench.workflows import study
from vcfe_bench.workflows.scored_run import scored_run


def run(
    request: Request,
    out: Path | None = None,
    metrics: tuple[str, ...] | None = None,
    observer: Observer | None = None,
    overwrite: bool = False,
    force: bool = False,
    executor: Executor | None = None,
    shard: Shard | None = None,
) -> Path:
    """Make the counterfactuals of a request, score them and write all tables.

    A run resumes: tasks and scores that the directory already holds are kept, failed tasks are tried again, and so are
    tasks of methods whose code, weights or width have changed.

    Args:
        request: what to run.
        out: the run's directory, by default ``runs/<dataset>-<hash of the request>``.
        metrics: specs of the metrics to compute, by default all that are registered.
        observer: gets the events of the run.
        overwrite: delete a run that ``out`` already holds, and start again.
        force: run a target that fails the checks of ``runs.sanity``, with warnings.
        shard: run this part of the tasks only; ``workflows.merge`` joins all parts.
        executor: how the work of methods is spread over processes, by default ``executors.choice.current()``.

    Returns:
        The run's directory.

    Raises:
        UsageError: anything the user has to change.
    """
    executor = executor or choice.current()
    with choice.using(executor):
        return _run(request, out, metrics, observer or Observer(), overwrite, force, executor, shard)


def _run(
    request: Request,
    out: Path | None,
    metrics: tuple[str, ...] | None,
    observer: Observer,
    overwrite: bool,
    force: bool,
    executor: Executor,
    shard: Shard | None,
) -> Path:
    setup = resolve(request)
    configuration = setup.configuration()
    for spec in metrics or ():
        registry.METRICS.build(spec)
    out = directory_of(configuration, out, shard=shard)
    if overwrite or not out.is_dir() or not any(out.iterdir()):
        with serial.threads(THREADS):
            sanity.check(setup.target, setup.dataset, request.split, force, observer.warned)
    try:
        with scored_run(out, configuration, overwrite) as store:
            study.write(out / study.FILE, study.of_configuration(configuration, metrics))
            observer.started(out, configuration)
            generate(setup, store, observer, executor, shard)
            for doubt in sanity.doubts(list(store.originals().values()), setup.classes):
                observer.warned(f"target '{setup.target.spec}': {doubt}")
            score_run(store, setup.dataset, metrics, observer)
    except BaseException as error:
        observer.ended(out, error)
        raise
    observer.ended(out)
    return out


def directory_of(
    configuration: Configuration, out: Path | None = None, folder: Path = RUNS, shard: Shard | None = None
) -> Path:
    """The directory of a run: ``out``, by default ``<dataset>-<hash of the request>`` in a folder."""
    part = f"-shard-{shard.index}-of-{shard.count}" if shard else ""
    return out or folder / f"{configuration.dataset.partition('[')[0]}-{configuration.name}{part}"


def rescore(directory: Path, metrics: tuple[str, ...] | None = None, observer: Observer | None = None) -> None:
    """Score the stored counterfactuals of a run again and write its tables.

    Raises:
        UsageError: ``directory`` is not a run or in use, a metric is unknown, or the dataset no longer has the videos
            of the run.
        DamagedFile: something is damaged or missing that scoring cannot make again.
    """
    observer = observer or Observer()
    with scored_run(directory) as store:
        damaged = damage.find(store)
        if lost := damaged.of_results():
            raise DamagedFile(f"{store.path / lost[0]} is missing or damaged: {AGAIN}")
        if damaged.of_scores:
            observer.warned(damaged.sentence(store.path))
        dataset = apart.dataset(store.configuration.dataset)
        score_run(store, dataset, metrics, observer, fresh=True)
