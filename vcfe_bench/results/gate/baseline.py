"""The two sides of a gate: the results of a run, or of a committed table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        configuration: of the run.
        methods: in the order of the table.
        metrics: their cards.
        deciding: names of the metrics that decide, the most important first. May be edited.
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
        records: the columns of ``RECORD_COLUMNS`` and one per sample metric, a row for each method, video and goal;
            None for a committed table of version 1.
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
    "seconds": "float64",
}
"""Columns of ``Result.records`` before those of the sample metrics, and their types."""


def of_run(path: Path) -> Result:
    """The result of a finished run.

    Raises:
        UsageError: not a run, not scored, or not finished.
    """
    from vcfe_bench.results import leaderboard  # only runs need it, not committed tables
    from vcfe_bench.runs import tables
    from vcfe_bench.runs.run_directory import RunDirectory

    store = RunDirectory(path)
    stored = tables.read_records(store, leaderboard.OUTPUTS)
    board = leaderboard.of(store, stored)
    if board.missing:
        raise UsageError(
            f"{path} is not finished, {board.missing} planned tasks have not run: run the same command again to resume"
        )
    environment = store.run["environment"]
    about = Description(
        scheme=SCHEME,
        vcfe_bench=environment["versions"]["vcfe-bench"],
        revision=environment["revision"],
        configuration_hash=short_hash(store.configuration.write()),
        configuration=store.configuration,
        methods=tuple(board.frame["method"]),
        metrics=board.metrics,
        deciding=deciding.default(board.metrics),
    )
    originals = store.originals()
    stored["original_sha256"] = [originals[index].sha256 for index in stored["index"].tolist()]
    names = [card.name for card in board.metrics if card.level == "sample" and card.name in stored]
    records = stored[[*RECORD_COLUMNS, *names]].astype(RECORD_COLUMNS)
    failed = tables.errors(store)
    places = {id: place for place, id in enumerate(stored["id"])} if failed else {}
    errors = {(places[id], name): text for (id, name), text in failed.items() if id in places}

    versions = {str(card.network): card.version for card in board.metrics}

    def features(network: str) -> FeaturesByHash:
        from vcfe_bench.scoring.features import FeatureStore  # reaches torch

        hashes = pd.concat([records["video_sha256"], records["original_sha256"]]).dropna().unique()
        stored = FeatureStore(store, network, versions[network]).stored(hashes)
        return {sha256: video.astype(np.float16) for sha256, video in stored.items()}

    return Result(board.frame, about, records, features, errors)
