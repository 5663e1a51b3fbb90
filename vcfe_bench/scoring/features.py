"""Features of videos, stored in a run directory by the content of the video."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors import parallel
from vcfe_bench.plugins import apart
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.values import checked_features
from vcfe_bench.plugins.metric import Footage, SetMetric
from vcfe_bench.runs.files import DamagedFile
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.scoring.sets import SetFeatures

Report = Callable[[int, int], None]
"""Called with the number of videos done and the number of all videos."""


class FeatureStore:
    """Features of one network, in files ``features/<network>/<content hash>.npz`` of a run directory.

    Features for a metric of a later version than 1 are in ``features/<network>@<version>/``, so that a new version
    never uses those of an old one; in runs that an earlier version of the package began, all are in one folder.
    """

    def __init__(self, store: RunDirectory, network: str, version: int | None) -> None:
        self.store = store
        later = f"@{version}" if version and version > 1 and not store.journal.state.old else ""
        self.folder = "features/" + re.sub(r"[^\w.-]+", "-", network) + later

    def get(self, sha256: str) -> np.ndarray | None:
        """The stored features of a video; None where there are none, or the file is damaged."""
        try:
            arrays = self.store.arrays(self.folder, sha256[:32])
        except DamagedFile:
            return None
        return None if arrays is None else arrays["features"]

    def put(self, sha256: str, features: np.ndarray) -> None:
        """Store the features of a video."""
        self.store.put_arrays(self.folder, sha256[:32], {"features": features})

    def stored(self, hashes: Iterable[str]) -> dict[str, np.ndarray]:
        """Features by content hash, of those videos whose features are stored."""
        return {sha256: features for sha256 in hashes if (features := self.get(sha256)) is not None}


def extract_features(
    metric: SetMetric, videos: Mapping[str, Callable[[], Footage]], store: FeatureStore, report: Report
) -> dict[str, np.ndarray]:
    """Features of all videos by content hash; the network runs only on those whose features are not stored yet.

    Raises:
        ContractError: they are no features, or differ in their number.
    """

    def extract(item: tuple[str, Callable[[], Footage]]) -> tuple[str, np.ndarray]:
        sha256, read = item
        features = store.get(sha256)
        if features is None:
            features = apart.call(metric, _features, metric, read())
            store.put(sha256, features)
        return sha256, features

    features: dict[str, np.ndarray] = {}
    for sha256, extracted in parallel.execute(extract, list(videos.items())):
        features[sha256] = extracted
        first = next(iter(features.values()))
        if extracted.shape[1] != first.shape[1]:
            raise ContractError(
                f"returned {first.shape[1]} features for one video and {extracted.shape[1]} for another"
            )
        report(len(features), len(videos))
    return features


def _features(metric: SetMetric, footage: Footage) -> np.ndarray:
    return checked_features(metric.features_of(footage))


def original_hashes(store: RunDirectory, records: Sequence[Record]) -> list[str]:
    """The content hash of each record's original."""
    originals = store.originals()
    return [originals[record.index].sha256 for record in records]


def stored_features(store: RunDirectory, metric: SetMetric, records: Sequence[Record]) -> SetFeatures:
    """Features of successful records and their originals, as the run stores them.

    Raises:
        UsageError: some are missing.
    """
    features = FeatureStore(store, metric.network, metric.card.version)
    originals = [features.get(sha256) for sha256 in original_hashes(store, records)]
    counterfactuals = [features.get(record.video_sha256 or "") for record in records]
    pairs = [
        (original, counterfactual)
        for original, counterfactual in zip(originals, counterfactuals, strict=True)
        if original is not None and counterfactual is not None
    ]
    if len(pairs) < len(records):
        raise UsageError(f"features are missing in {store.path}: run 'vcfe-bench rescore {store.path}'")
    return SetFeatures(
        [original for original, _ in pairs],
        [counterfactual for _, counterfactual in pairs],
        [record.sample for record in records],
    )
