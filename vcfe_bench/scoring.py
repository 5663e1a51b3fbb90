"""Scores of stored explanations: read back, compared with their originals, kept in the journal.

A video is read once for all sample metrics, and goes once through each feature network; features are kept by content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vcfe_bench import goals, plan, plugins, records, seeds, statistics, video_io
from vcfe_bench.errors import UsageError
from vcfe_bench.interfaces import Card, Case, Dataset, Metric, Sample, SampleMetric, SetMetric
from vcfe_bench.observer import Observer
from vcfe_bench.store import Store

SETS, METRICS = "sets.parquet", "metrics.json"
Line = dict[str, Any]


def score(store: Store, dataset: Dataset, specs: Sequence[str] | None, observer: Observer, fresh: bool = False) -> None:
    """Compute the metrics (default: all registered) that the store lacks, with ``fresh`` also those it has.

    Raises:
        UsageError: an unknown metric, or the dataset's videos are no longer those of the run.
    """
    names = list(specs or plugins.METRICS.names())
    up_to_date = bool(store.journal) and store.journal[-1]["kind"] == "scored"
    if up_to_date and not fresh and set(names) <= {card["spec"] for card in records.cards(store)}:
        return
    metrics, cards = _load(names, dataset, must_work=specs is not None)
    lines = [line for line in store.tasks().values() if line["status"] == "ok"]
    reader = _Reader(store, dataset)
    _score_samples(store, reader, [m for m in metrics if isinstance(m, SampleMetric)], lines, observer, fresh)
    _score_sets(store, reader, [m for m in metrics if isinstance(m, SetMetric)], lines, observer, cards)
    _add_problems(cards, store)
    specs_now = {card["spec"] for card in cards}
    store.append("scored", cards=[card for card in records.cards(store) if card["spec"] not in specs_now] + cards)


def write(store: Store) -> None:
    """Bring the tables up to the journal."""
    records.write(store)
    store.put_table(SETS, sets_table(store))
    store.put_json(METRICS, records.cards(store))


def sets_table(store: Store) -> pd.DataFrame:
    """One row per method and set metric, the latest value of each."""
    latest = {(line["method"], line["metric"]): line for line in store.lines("set")}
    columns = ["method", "metric", "version", "n", "value", "low", "high", "floor", "floor_n", "reason"]
    return pd.DataFrame(list(latest.values()), columns=columns)


def _load(names: list[str], dataset: Dataset, must_work: bool) -> tuple[list[Metric], list[Line]]:
    """Metrics that can be computed on the dataset, and an entry about each metric, computable or not."""
    metrics: list[Metric] = []
    cards: list[Line] = []
    for name in names:
        try:
            metric = plugins.METRICS.build(name)
            reason = metric.unavailable(dataset)
        except UsageError as error:
            if must_work:
                raise
            cards.append({"name": name, "spec": name, "level": None, "unavailable": str(error)})
            continue
        if any(card["name"] == metric.card.name for card in cards):
            raise UsageError(f"two metrics are called '{metric.card.name}'")
        cards.append(_describe(metric, reason))
        if reason is None:
            metrics.append(metric)
    return metrics, cards


def _describe(metric: Metric, reason: str | None) -> Line:
    card: Card = metric.card
    told = ("name", "question", "criterion", "direction", "unit", "source", "version", "min_samples")
    level = "sample" if isinstance(metric, SampleMetric) else "set"
    return {
        **{field: getattr(card, field) for field in told},
        "spec": metric.spec,
        "level": level,
        "unavailable": reason,
    }


class _Reader:
    """Originals and stored counterfactuals, verified against the journal."""

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self.store, self.dataset = store, dataset
        self.originals = plan.read_originals(store.lines("original"))
        self.sample = lru_cache(maxsize=4)(self._sample)
        self.hash = lru_cache(maxsize=None)(self._hash)

    def _sample(self, index: int) -> Sample:
        split = self.store.configuration["split"]
        original = self.originals.get(index)
        return plan.sample_of(self.dataset, split, original) if original else self.dataset.sample(split, index)

    def _hash(self, index: int) -> str:
        original = self.originals.get(index)
        return original.sha256 if original else video_io.content_hash(video_io.quantise(self.sample(index).video))

    def original(self, index: int) -> Tensor:
        return self.sample(index).video

    def counterfactual(self, line: Line) -> Tensor:
        try:
            pixels = self.store.video(line["video"])
            intact = video_io.content_hash(pixels) == line["video_sha256"]
        except OSError:
            intact = False
        if not intact:
            raise UsageError(f"{self.store.path}/videos/{line['video']}{video_io.SUFFIX} is missing or damaged")
        return video_io.dequantise(pixels)


def _score_samples(
    store: Store, reader: _Reader, metrics: list[SampleMetric], lines: list[Line], observer: Observer, fresh: bool
) -> None:
    known = {(line["id"], name, version) for line in store.lines("score") for name, version in line["versions"].items()}
    work = []
    for line in sorted(lines, key=lambda line: line["index"]):
        due = [m for m in metrics if fresh or (line["id"], m.card.name, m.card.version) not in known]
        if due:
            work.append((line, due))
    for count, (line, due) in enumerate(work, 1):
        case = Case(
            reader.dataset,
            reader.sample(line["index"]),
            goals.parse(line["goal"]),
            reader.counterfactual(line),
            torch.tensor(line["before"]),
            torch.tensor(line["after"]),
        )
        values, errors = {}, {}
        for metric in due:
            try:
                values[metric.card.name] = float(metric.score(case))
            except Exception as error:
                values[metric.card.name] = float("nan")
                errors[metric.card.name] = plugins.describe(error)
        versions = {metric.card.name: metric.card.version for metric in due}
        store.append("score", id=line["id"], values=values, versions=versions, errors=errors)
        observer.scored(count, len(work), "videos compared")


def _add_problems(cards: list[Line], store: Store) -> None:
    """Say on each card on how many records the metric broke down, and how."""
    latest: dict[tuple[str, str], str | None] = {}
    for line in store.lines("score"):
        for name in line["values"]:
            latest[line["id"], name] = line["errors"].get(name)
    for card in cards:
        broken = [error for (_, name), error in latest.items() if name == card["name"] and error]
        card["problems"] = f"failed on {len(broken)} videos: {broken[0]}" if broken else None


def _score_sets(
    store: Store, reader: _Reader, metrics: list[SetMetric], lines: list[Line], observer: Observer, cards: list[Line]
) -> None:
    """Distances per method. A metric whose network breaks down becomes unavailable, with the reason on its card."""
    others = store.lines("plan")[-1]["others"] if store.lines("plan") else []
    by_method: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda line: line["index"]):
        by_method.setdefault(line["method"], []).append(line)
    for metric in metrics:
        features = _Features(store, metric)
        try:
            _see(features, reader, lines, others, observer)
        except Exception as error:
            card = next(card for card in cards if card["name"] == metric.card.name)
            card["unavailable"] = plugins.describe(error)
            continue
        floors: dict[tuple[int, ...], Line] = {}
        for method, rows in by_method.items():
            indices = tuple(sorted({line["index"] for line in rows}))
            if indices not in floors:
                floors[indices] = _floor(metric, features, reader, indices, others[: len(indices)])
            row = _distance(metric, features, reader, rows)
            store.append(
                "set", method=method, metric=metric.card.name, version=metric.card.version, **row, **floors[indices]
            )


def _see(features: _Features, reader: _Reader, lines: list[Line], others: Sequence[int], observer: Observer) -> None:
    """Show the network every video it has not seen: counterfactuals, their originals, and the others of the floor."""
    videos: dict[str, Callable[[], Tensor]] = {}
    for line in lines:
        videos[line["video_sha256"]] = partial(reader.counterfactual, line)
        videos[reader.hash(line["index"])] = partial(reader.original, line["index"])
    for index in others:
        videos[reader.hash(index)] = partial(reader.original, index)
    for count, (sha256, video) in enumerate(videos.items(), 1):
        features.add(sha256, video)
        observer.scored(count, len(videos), f"videos seen by {features.metric.network}")


def _distance(metric: SetMetric, features: _Features, reader: _Reader, rows: list[Line]) -> Line:
    """Distance between the counterfactuals of a method and their originals, with its interval."""
    try:
        estimate = statistics.distance_interval(
            [features[reader.hash(line["index"])] for line in rows],
            [features[line["video_sha256"]] for line in rows],
            metric.distance,
            [line["sample"] for line in rows],
        )
    except Exception as error:
        nan = float("nan")
        return {"n": len(rows), "value": nan, "low": nan, "high": nan, "reason": plugins.describe(error)}
    return {"n": len(rows), "value": estimate.value, "low": estimate.low, "high": estimate.high, "reason": ""}


def _floor(
    metric: SetMetric, features: _Features, reader: _Reader, indices: tuple[int, ...], others: Sequence[int]
) -> Line:
    """What as many real videos are apart from as many others, averaged over random halves of both."""
    if len(others) < len(indices):
        return {"floor": float("nan"), "floor_n": 0}
    real = [features[reader.hash(index)] for index in (*indices, *others)]
    try:
        value = float(statistics.real_against_real(real, metric.distance, seeds.derive(metric.card.name)).mean())
    except Exception:
        value = float("nan")
    return {"floor": value, "floor_n": len(indices)}


class _Features:
    """Features of one network by content hash of the video, kept under ``features/<network>/``."""

    def __init__(self, store: Store, metric: SetMetric) -> None:
        self.store, self.metric = store, metric
        self.folder = "features/" + re.sub(r"[^\w.-]+", "-", metric.network)
        self.memory: dict[str, np.ndarray] = {}

    def add(self, sha256: str, video: Callable[[], Tensor]) -> None:
        kept = self.store.arrays(self.folder, sha256[:32])
        if kept is None:
            kept = {"features": self.metric.features(video())}
            self.store.put_arrays(self.folder, sha256[:32], kept)
        self.memory[sha256] = kept["features"]

    def __getitem__(self, sha256: str) -> np.ndarray:
        return self.memory[sha256]
