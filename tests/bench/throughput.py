"""Throughput of two workers with one thread each, compared with one, for a method that only computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from vcfe_bench.executors.pool import Pool
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.workflows.scored_run import scored_run

METHOD = "random_draws"


@dataclass
class _Times(Observer):
    """When tasks of a method ended."""

    method: str
    ends: list[float] = field(default_factory=list)

    def finished(self, records: Sequence[Record]) -> None:
        self.ends += [perf_counter() for record in records if record.method == self.method]


def ratio(videos: int, method: str = METHOD, dataset: str = "shape_moving") -> float:
    """How many times more tasks two workers finish in a second than one, while all of them are busy.

    Workers start one after another and the last tasks end one after another, so that the first and the last tasks of
    each worker are left out.
    """
    rates = [_rate(jobs, Request((method,), dataset, limit=videos, generator=None)) for jobs in (1, 2)]
    return rates[1] / rates[0]


def _rate(jobs: int, request: Request) -> float:
    """Tasks per second."""
    setup = resolve(request)
    times = _Times(setup.methods[0].spec)
    width = setup.methods[0].width
    with TemporaryDirectory() as folder, scored_run(Path(folder, "run"), setup.configuration()) as store:
        generate(setup, store, times, Pool(jobs))
    ends = times.ends[jobs * width : len(times.ends) - (jobs - 1) * width]
    return (len(ends) - width) / (ends[-1] - ends[0])
