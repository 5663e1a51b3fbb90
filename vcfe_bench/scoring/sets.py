"""Distances between sets of videos, from features that are kept by the content of each video."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vcfe_bench import goals
from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.executors import parallel
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.metric import Footage, PairMetric, SetMetric
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import Line, RunDirectory
from vcfe_bench.scoring.reader import Reader
from vcfe_bench.stats import intervals, set_distances


def pooled(parts: Sequence[tuple[RunDirectory, Sequence[Mapping[Any, Any]]]], spec: str) -> Line:
    """``n, value, low, high, floor, floor_n, reason`` of a metric of sets or of pairs over records of several runs.

    ``parts`` are runs with their records of one method; the features are those that the runs keep. Without them, or
    where the metric is not registered, there is no value but a reason.
    """
    rows = [row for _, found in parts for row in found]
    no_floor = {"floor": float("nan"), "floor_n": 0}
    try:
        metric = registry.METRICS.build(spec)
        if isinstance(metric, PairMetric):
            return _pairs(metric, rows) | no_floor
        assert isinstance(metric, SetMetric)
        sides = [kept_features(store, metric, found) for store, found in parts]
    except UsageError as error:
        return _nothing(len(rows), str(error)) | no_floor
    originals, counterfactuals = ([video for side in sides for video in side[place]] for place in (0, 1))
    row = _distance(metric, originals, counterfactuals, [row["sample"] for row in rows])
    hashes = [name for store, found in parts for name in _hashes(store, found)]
    return row | _floor(metric, dict(zip(hashes, originals, strict=True)), _kept_others(parts[0][0], metric))


def _kept_others(store: RunDirectory, metric: SetMetric) -> dict[str, np.ndarray]:
    """Features of the videos beside those of the run by content hash, as far as the run keeps them."""
    features = _Features(store, metric)
    hashes = [name for line in store.lines("others")[-1:] for name in line["sha256"]]
    return {name: found for name in hashes if (found := features.kept(name)) is not None}


def _hashes(store: RunDirectory, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """The content hash of each record's original."""
    hashes = {line["index"]: line["sha256"] for line in store.lines("original")}
    return [hashes[row["index"]] for row in rows]


def kept_features(
    store: RunDirectory, metric: SetMetric, rows: Sequence[Mapping[Any, Any]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features of the originals and of the counterfactuals of records, as the run keeps them.

    Raises:
        UsageError: some are missing.
    """
    features = _Features(store, metric)
    found = [
        (features.kept(original), features.kept(row["video_sha256"]))
        for original, row in zip(_hashes(store, rows), rows, strict=True)
    ]
    originals, counterfactuals = ([side for pair in found if (side := pair[place]) is not None] for place in (0, 1))
    if len(originals) < len(rows) or len(counterfactuals) < len(rows):
        raise UsageError(f"features are missing in {store.path}: score it anew")
    return originals, counterfactuals


def score_sets(
    store: RunDirectory,
    reader: Reader,
    metrics: list[SetMetric],
    lines: list[Line],
    observer: Observer,
    cards: list[Line],
) -> None:
    """Distances per method. A metric whose network breaks down becomes unavailable, with the reason on its card."""
    others = store.lines("plan")[-1]["others"] if store.lines("plan") else []
    by_method = _by_method(lines)
    beside = [reader.hash(index) for index in others] if metrics else []
    if beside and [line["sha256"] for line in store.lines("others")[-1:]] != [beside]:
        store.append("others", sha256=beside)
    for metric in metrics:
        features = _Features(store, metric)
        try:
            _see(features, reader, lines, others, observer)
        except Exception as error:
            card = next(card for card in cards if card["name"] == metric.card.name)
            card["unavailable"] = describe(error)
            continue
        floors: dict[tuple[int, ...], Line] = {}
        for method, rows in by_method.items():
            indices = tuple(sorted({line["index"] for line in rows}))
            if indices not in floors:
                real = [{name: features[name] for name in map(reader.hash, part)} for part in (indices, others)]
                floors[indices] = _floor(metric, *real)
            row = _distance(
                metric,
                [features[reader.hash(line["index"])] for line in rows],
                [features[line["video_sha256"]] for line in rows],
                [line["sample"] for line in rows],
            )
            store.append(
                "set", method=method, metric=metric.card.name, version=metric.card.version, **row, **floors[indices]
            )


def _by_method(lines: list[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda line: line["index"]):
        found.setdefault(line["method"], []).append(line)
    return found


def _see(features: _Features, reader: Reader, lines: list[Line], others: Sequence[int], observer: Observer) -> None:
    """Show the network every video it has not seen: counterfactuals, their originals, and the others of the floor."""
    videos: dict[str, Callable[[], Footage]] = {}
    for line in sorted(lines, key=lambda line: line["index"]):
        videos[line["video_sha256"]] = partial(reader.edited, line)
        videos[reader.hash(line["index"])] = partial(reader.original, line["index"])
    for index in others:
        videos[reader.hash(index)] = partial(reader.original, index)
    for count, _ in enumerate(parallel.execute(lambda video: features.add(*video), list(videos.items())), 1):
        observer.scored(count, len(videos), f"videos seen by {features.metric.network}")


def _distance(
    metric: SetMetric, originals: list[np.ndarray], counterfactuals: list[np.ndarray], samples: list[str]
) -> Line:
    """Distance between the counterfactuals of a method and their originals, with its interval."""
    try:
        lowest = metric.card.range[0]
        estimate = set_distances.distance_interval(originals, counterfactuals, metric.distance, samples, lowest)
    except Exception as error:
        return _nothing(len(samples), describe(error))
    return {"n": len(samples), "value": estimate.value, "low": estimate.low, "high": estimate.high, "reason": ""}


def _nothing(n: int, reason: str) -> Line:
    nan = float("nan")
    return {"n": n, "value": nan, "low": nan, "high": nan, "reason": reason}


def _floor(metric: SetMetric, originals: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> Line:
    """What the originals are apart from as many other real videos, averaged over random halves of both."""
    count = len(originals)
    if len(others) < count:
        return {"floor": float("nan"), "floor_n": 0}
    real = dict([*originals.items(), *islice(others.items(), count)])
    seed = seeds.derive(metric.card.name)
    try:
        value = float(set_distances.real_against_real([*real.values()], [*real], metric.distance, seed).mean())
    except Exception:
        value = float("nan")
    return {"floor": value, "floor_n": count}


def score_pairs(store: RunDirectory, metrics: list[PairMetric], lines: list[Line]) -> None:
    for metric in metrics:
        for method, rows in _by_method(lines).items():
            row = {**_pairs(metric, rows), "floor": float("nan"), "floor_n": 0}
            store.append("set", method=method, metric=metric.card.name, version=metric.card.version, **row)


def _pairs(metric: PairMetric, rows: Sequence[Mapping[Any, Any]]) -> Line:
    """The metric over the records of one method whose goals ask for values, with its interval."""
    asked = [goals.goal_value(goals.parse(row["goal"])) for row in rows]
    pairs = [
        (value, row["after"][0], row["sample"]) for value, row in zip(asked, rows, strict=True) if value is not None
    ]
    if not pairs:
        return _nothing(0, "no goal asks for a value")
    wished, reached, samples = zip(*pairs, strict=True)
    seed = seeds.derive(rows[0]["method"], metric.card.name)
    try:
        estimate = intervals.pairs_interval(wished, reached, metric.value, samples, seed)
    except Exception as error:
        return _nothing(len(pairs), describe(error))
    return {"n": estimate.n, "value": estimate.value, "low": estimate.low, "high": estimate.high, "reason": ""}


class _Features:
    """Features of one network by content hash of the video, kept under ``features/<network>/``."""

    def __init__(self, store: RunDirectory, metric: SetMetric) -> None:
        self.store, self.metric = store, metric
        self.folder = "features/" + re.sub(r"[^\w.-]+", "-", metric.network)
        self.memory: dict[str, np.ndarray] = {}

    def kept(self, sha256: str) -> np.ndarray | None:
        """Features of a video seen before, from the disk."""
        arrays = self.store.arrays(self.folder, sha256[:32])
        return None if arrays is None else arrays["features"]

    def add(self, sha256: str, footage: Callable[[], Footage]) -> None:
        features = self.kept(sha256)
        if features is None:
            features = self.metric.features_of(footage())
            self.store.put_arrays(self.folder, sha256[:32], {"features": features})
        self.memory[sha256] = features

    def __getitem__(self, sha256: str) -> np.ndarray:
        return self.memory[sha256]
