"""Scores of stored explanations: read back, compared with their originals, kept in the journal.

A video is read once for all sample metrics, and goes once through each feature network; features are kept by content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vcfe_bench import goals, plan, plugins, records, seeds, statistics, video_io
from vcfe_bench.errors import UsageError
from vcfe_bench.executors import parallel
from vcfe_bench.interfaces import (
    Card,
    Case,
    Dataset,
    Footage,
    Generator,
    Metric,
    PairMetric,
    Sample,
    SampleMetric,
    SetMetric,
    Target,
)
from vcfe_bench.observer import Observer
from vcfe_bench.store import Store

SETS, METRICS = "sets.parquet", "metrics.json"
CURVES = "curves"
"""Folder of the curves behind values, ``<record id>.npz``."""
SET_COLUMNS = ["method", "metric", "version", "n", "value", "low", "high", "floor", "floor_n", "reason"]
Line = dict[str, Any]


def score(store: Store, dataset: Dataset, specs: Sequence[str] | None, observer: Observer, fresh: bool = False) -> None:
    """Compute the metrics (default: all registered) that the store lacks in this version, with ``fresh`` all of them.

    Raises:
        UsageError: an unknown metric, or the dataset's videos are no longer those of the run, or a metric of ``specs``
            needs the run's target, which is not there any more.
    """
    names = list(specs or plugins.METRICS.names())
    up_to_date = bool(store.journal) and store.journal[-1]["kind"] == "scored"
    if up_to_date and not fresh:
        scored = {(card["spec"], card.get("version")) for card in records.cards(store)}
        if {(name, _version(name)) for name in names} <= scored:
            return
    metrics, cards = _load(names, dataset, must_work=specs is not None)
    metrics, networks = _with_networks(store, dataset, metrics, cards, must_work=specs is not None)
    lines = [line for line in store.tasks().values() if line["status"] == "ok"]
    reader = _Reader(store, dataset)
    of_samples = [m for m in metrics if isinstance(m, SampleMetric)]
    _score_samples(store, reader, of_samples, networks, lines, observer, fresh)
    _score_sets(store, reader, [m for m in metrics if isinstance(m, SetMetric)], lines, observer, cards)
    _score_pairs(store, [m for m in metrics if isinstance(m, PairMetric)], lines)
    _add_problems(cards, store)
    specs_now = {card["spec"] for card in cards}
    store.append("scored", cards=[card for card in records.cards(store) if card["spec"] not in specs_now] + cards)


def write(store: Store) -> None:
    """Bring the tables up to the journal."""
    records.write(store)
    store.put_table(SETS, sets_table(store))
    store.put_json(METRICS, records.cards(store))


def sets_table(store: Store) -> pd.DataFrame:
    """One row per method and metric of a set or of pairs, the latest value of each."""
    latest = {(line["method"], line["metric"]): line for line in store.lines("set")}
    return pd.DataFrame(list(latest.values()), columns=SET_COLUMNS)


def pooled(parts: Sequence[tuple[Store, Sequence[Mapping[Any, Any]]]], spec: str) -> Line:
    """``n, value, low, high, floor, floor_n, reason`` of a metric of sets or of pairs over records of several runs.

    ``parts`` are runs with their records of one method; the features are those that the runs keep. Without them, or
    where the metric is not registered, there is no value but a reason.
    """
    rows = [row for _, found in parts for row in found]
    no_floor = {"floor": float("nan"), "floor_n": 0}
    try:
        metric = plugins.METRICS.build(spec)
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


def _kept_others(store: Store, metric: SetMetric) -> dict[str, np.ndarray]:
    """Features of the videos beside those of the run by content hash, as far as the run keeps them."""
    features = _Features(store, metric)
    hashes = [name for line in store.lines("others")[-1:] for name in line["sha256"]]
    return {name: found for name in hashes if (found := features.kept(name)) is not None}


def _hashes(store: Store, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """The content hash of each record's original."""
    hashes = {line["index"]: line["sha256"] for line in store.lines("original")}
    return [hashes[row["index"]] for row in rows]


def kept_features(
    store: Store, metric: SetMetric, rows: Sequence[Mapping[Any, Any]]
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


def _version(spec: str) -> int | None:
    """Of the metric as it is installed; None where it is broken, as on its card."""
    try:
        return plugins.METRICS.build(spec).card.version
    except UsageError:
        return None


class _Missing(UsageError):
    """The run lacks what a metric asks for: the metric has no values, whoever named it."""


@dataclass(frozen=True)
class _Networks:
    """What metrics may ask again: target and generator of the run, and other targets by spec."""

    target: Target | None = None
    generator: Generator | None = None
    others: Mapping[str, Target] = field(default_factory=dict)


def _with_networks(
    store: Store, dataset: Dataset, metrics: list[Metric], cards: list[Line], must_work: bool
) -> tuple[list[Metric], _Networks]:
    """The networks that metrics ask; without one, what is left of the metrics, the others' cards telling why."""
    target, generator = cache(partial(_target, store)), cache(partial(_generator, store))
    others = cache(partial(_others, store, dataset))
    left: list[Metric] = []
    networks = _Networks()
    for metric in metrics:
        if isinstance(metric, SampleMetric):
            try:
                networks = _Networks(
                    target() if metric.needs_target else networks.target,
                    generator() if metric.needs_generator else networks.generator,
                    {**networks.others, **others(tuple(metric.other_targets(dataset)))},
                )
            except UsageError as error:
                if must_work and not isinstance(error, _Missing):
                    raise
                next(card for card in cards if card["name"] == metric.card.name)["unavailable"] = str(error)
                continue
        left.append(metric)
    return left, networks


def _target(store: Store) -> Target:
    planned = store.configuration["target"]
    target = plugins.frozen_target(planned["spec"])
    if target.fingerprint != planned["fingerprint"]:
        raise UsageError(f"target '{target.spec}' is not the one that was run: its weights or preprocessing changed")
    return target


def _generator(store: Store) -> Generator:
    planned = store.configuration["generator"]
    if planned is None:
        raise _Missing("the run has no generator")
    generator = plugins.GENERATORS.build(planned["spec"])
    if generator.fingerprint != planned["fingerprint"]:
        raise UsageError(f"generator '{generator.spec}' is not the one that was run: its weights or settings changed")
    return generator


def _others(store: Store, dataset: Dataset, specs: tuple[str, ...]) -> dict[str, Target]:
    """Targets by spec, but for the one that was explained."""
    found = {spec: plugins.frozen_target(spec) for spec in specs}
    for target in found.values():
        if target.classes != dataset.classes:
            raise UsageError(
                f"target '{target.spec}' knows the classes {', '.join(target.classes) or 'none'}; "
                f"dataset '{dataset.spec}' has {', '.join(dataset.classes) or 'none'}"
            )
    explained = store.configuration["target"]["fingerprint"]
    left = {spec: target for spec, target in found.items() if target.fingerprint != explained}
    if specs and not left:
        raise _Missing("no target is named but the one that was explained")
    return left


def _describe(metric: Metric, reason: str | None) -> Line:
    card: Card = metric.card
    told = ("name", "question", "criterion", "direction", "unit", "source", "version", "min_samples")
    levels = {SampleMetric: "sample", SetMetric: "set", PairMetric: "pair"}
    return {
        **{field: getattr(card, field) for field in told},
        "spec": metric.spec,
        "level": next(level for kind, level in levels.items() if isinstance(metric, kind)),
        "network": metric.network if isinstance(metric, SetMetric) else None,
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

    def original(self, index: int) -> Footage:
        sample = self.sample(index)
        return Footage(self.dataset, sample, sample.video)

    def edited(self, line: Line) -> Footage:
        return Footage(self.dataset, self.sample(line["index"]), self.counterfactual(line))

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
    store: Store,
    reader: _Reader,
    metrics: list[SampleMetric],
    networks: _Networks,
    lines: list[Line],
    observer: Observer,
    fresh: bool,
) -> None:
    known = {(line["id"], name, version) for line in store.lines("score") for name, version in line["versions"].items()}
    work = []
    for line in sorted(lines, key=lambda line: line["index"]):
        due = [m for m in metrics if fresh or (line["id"], m.card.name, m.card.version) not in known]
        if due:
            work.append((line, due))

    def scored(task: tuple[Line, list[SampleMetric]]) -> Line:
        line, due = task
        case = Case(
            reader.dataset,
            reader.sample(line["index"]),
            goals.parse(line["goal"]),
            reader.counterfactual(line),
            torch.tensor(line["before"]),
            torch.tensor(line["after"]),
            store.arrays("artefacts", line["id"]) or {},
            networks.target,
            networks.generator,
            networks.others,
        )
        values, errors, curves = {}, {}, store.arrays(CURVES, line["id"]) or {}
        for metric in due:
            try:
                values[metric.card.name] = _on_card(metric.card, float(metric.score(case)))
                curves |= metric.curves(case)
            except Exception as error:
                values[metric.card.name] = float("nan")
                errors[metric.card.name] = plugins.describe(error)
        if curves:
            store.put_arrays(CURVES, line["id"], curves)
        versions = {metric.card.name: metric.card.version for metric in due}
        return {"id": line["id"], "values": values, "versions": versions, "errors": errors}

    for count, scores in enumerate(parallel.execute(scored, work), 1):
        store.append("score", **scores)
        observer.scored(count, len(work), "videos compared")


def _on_card(card: Card, value: float) -> float:
    """The value without what rounding carried it beyond the card's range.

    Raises:
        ValueError: it lies outside by more.
    """
    low, high = card.range
    inside = float(np.clip(value, low, high))
    if not np.isclose(value, inside, atol=1e-6, equal_nan=True):
        raise ValueError(f"{value:g} is outside the range on the card, {low:g} to {high:g}")
    return inside


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
            card["unavailable"] = plugins.describe(error)
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


def _see(features: _Features, reader: _Reader, lines: list[Line], others: Sequence[int], observer: Observer) -> None:
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
        estimate = statistics.distance_interval(originals, counterfactuals, metric.distance, samples, lowest)
    except Exception as error:
        return _nothing(len(samples), plugins.describe(error))
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
        value = float(statistics.real_against_real([*real.values()], [*real], metric.distance, seed).mean())
    except Exception:
        value = float("nan")
    return {"floor": value, "floor_n": count}


def _score_pairs(store: Store, metrics: list[PairMetric], lines: list[Line]) -> None:
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
        estimate = statistics.pairs_interval(wished, reached, metric.value, samples, seed)
    except Exception as error:
        return _nothing(len(pairs), plugins.describe(error))
    return {"n": estimate.n, "value": estimate.value, "low": estimate.low, "high": estimate.high, "reason": ""}


class _Features:
    """Features of one network by content hash of the video, kept under ``features/<network>/``."""

    def __init__(self, store: Store, metric: SetMetric) -> None:
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
