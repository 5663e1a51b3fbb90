"""The two sides of a gate: the results of runs that differ in their seed alone, or of a committed table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vcfe_bench.core.errors import UsageError
from vcfe_bench.results.gate import deciding
from vcfe_bench.runs.configuration import Configuration, short_hash
from vcfe_bench.runs.records import ScoredCard

SCHEME = 2
"""Version of the description's format; tables of version 1 have no values of single videos."""


@dataclass(frozen=True)
class Description:
    """Where a table comes from and what it decides: the ``.json`` file of a committed table.

    Attributes:
        vcfe_bench: version of the package, ``revision`` that of its repository.
        configuration: of the run, or of the first of several.
        methods: in the order of the table.
        metrics: their cards.
        deciding: names of the metrics that decide, the most important first. May be edited.
        seeds: of all runs.
        seal: hash of the table, of the values of single videos, and of this description without ``deciding``.
    """

    scheme: int
    vcfe_bench: str | None
    revision: str | None
    configuration_hash: str
    configuration: Configuration
    methods: tuple[str, ...]
    metrics: tuple[ScoredCard, ...]
    deciding: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    seal: str = ""


FeaturesByHash = Mapping[str, np.ndarray]
"""Features ``[n, D]`` of videos in float16, by the content hash of the video."""


def _no_features(network: str) -> FeaturesByHash:
    return {}


@dataclass(frozen=True)
class Result:
    """A leaderboard with what it was computed from.

    Attributes:
        frame: ``Leaderboard.frame``.
        about: where it comes from.
        records: the columns of ``RECORD_COLUMNS`` and one per sample metric, a row for each method, seed, video and
            goal; None for a committed table of version 1.
        features: returns the features of all videos of ``records`` in a network.
        errors: the exceptions of metrics that failed, by the place of the record in ``records`` and metric name; None
            for a committed table.
    """

    frame: pd.DataFrame
    about: Description
    records: pd.DataFrame | None = None
    features: Callable[[str], FeaturesByHash] = _no_features
    errors: Mapping[tuple[int, str], str] = field(default_factory=dict)
    answers: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Values of sample metrics by video and goal, by method: kept by ``pairs``, which needs them for every metric."""

    @property
    def metrics(self) -> Mapping[str, ScoredCard]:
        """Cards by name."""
        return {card.name: card for card in self.about.metrics}

    def value(self, method: str, column: str) -> float:
        """A number of the leaderboard."""
        values: dict[str, float] = dict(zip(self.frame["method"], self.frame[column].astype(float), strict=True))
        return values[method]


RECORD_COLUMNS = {
    **dict.fromkeys(("method", "sample", "goal", "status", "reason", "video_sha256", "original_sha256"), "string"),
    "seed": "int64",
    "seconds": "float64",
}
"""Columns of ``Result.records`` before those of the sample metrics, and their types."""


def of_run(*paths: Path) -> Result:
    """The result of a finished run, or of several that differ in their seed alone.

    Raises:
        UsageError: not a run, not scored, or not finished; several runs that differ in more than their seed, or not in
            that.
    """
    from vcfe_bench.results import leaderboard  # only runs need it, not committed tables

    runs = [_Run(path) for path in paths]
    frame, metrics = runs[0].board.frame, runs[0].board.metrics
    if len(runs) > 1:
        _differ_in_their_seeds(runs)
        joined = leaderboard.join(paths, by=())
        frame, metrics = joined.frame[[name for name in frame if name in joined.frame]], joined.metrics
    about = replace(
        runs[0].about(),
        methods=tuple(frame["method"]),
        metrics=metrics,
        seeds=tuple(run.store.configuration.seed for run in runs),
    )
    tables = [run.records(metrics) for run in runs]
    places = itertools.accumulate((len(table) for table in tables[:-1]), initial=0)
    errors = {
        (start + place, name): text
        for start, run in zip(places, runs, strict=True)
        for (place, name), text in run.errors().items()
    }
    records = pd.concat(tables, ignore_index=True)
    versions = {str(card.network): card.version for card in metrics}

    def features(network: str) -> FeaturesByHash:
        from vcfe_bench.scoring.features import FeatureStore  # reaches torch

        hashes = pd.concat([records["video_sha256"], records["original_sha256"]]).dropna().unique()
        found: dict[str, np.ndarray] = {}
        for run in runs:
            stored = FeatureStore(run.store, network, versions[network]).stored(hashes)
            found |= {sha256: video.astype(np.float16) for sha256, video in stored.items()}
        return found

    return Result(frame, about, records, features, errors)


class _Run:
    """A finished run of ``of_run``."""

    def __init__(self, path: Path) -> None:
        from vcfe_bench.results import leaderboard
        from vcfe_bench.runs import tables
        from vcfe_bench.runs.run_directory import RunDirectory

        self.path, self.store = path, RunDirectory(path)
        self.stored = tables.read_records(self.store, leaderboard.OUTPUTS)
        self.board = leaderboard.of(self.store, self.stored)
        if self.board.missing:
            raise UsageError(
                f"{path} is not finished, {self.board.missing} planned tasks have not run: run the same command again "
                "to resume"
            )

    def about(self) -> Description:
        environment, configuration = self.store.run["environment"], self.store.configuration
        return Description(
            scheme=SCHEME,
            vcfe_bench=environment["versions"]["vcfe-bench"],
            revision=environment["revision"],
            configuration_hash=short_hash(configuration.write()),
            configuration=configuration,
            methods=tuple(self.board.frame["method"]),
            metrics=self.board.metrics,
            deciding=deciding.default(self.board.metrics),
        )

    def records(self, metrics: Sequence[ScoredCard]) -> pd.DataFrame:
        """``Result.records`` of this run, with the columns of these metrics."""
        originals = self.store.originals()
        table = self.stored.assign(
            original_sha256=[originals[index].sha256 for index in self.stored["index"].tolist()],
            seed=self.store.configuration.seed,
        )
        names = [card.name for card in metrics if card.level == "sample" and card.name in table]
        return table[[*RECORD_COLUMNS, *names]].astype(RECORD_COLUMNS)

    def errors(self) -> Mapping[tuple[int, str], str]:
        """``Result.errors`` of this run."""
        from vcfe_bench.runs import tables

        failed = tables.errors(self.store)
        places = {id: place for place, id in enumerate(self.stored["id"])} if failed else {}
        return {(places[id], name): text for (id, name), text in failed.items() if id in places}


def _differ_in_their_seeds(runs: Sequence[_Run]) -> None:
    first = runs[0].store.configuration
    for run in runs[1:]:
        if replace(run.store.configuration, seed=first.seed) != first:
            raise UsageError(f"{runs[0].path} and {run.path} differ in more than their seed: they are two tables")
    if len({run.store.configuration.seed for run in runs}) < len(runs):
        raise UsageError("the runs have the same seed: name each once")
