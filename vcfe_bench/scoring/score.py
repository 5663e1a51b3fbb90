"""Scores of stored explanations: read back, compared with their originals, kept in the journal.

A video is read once for all sample metrics, and goes once through each feature network; features are kept by content.
"""

from __future__ import annotations

from collections.abc import Sequence

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Metric, PairMetric, SampleMetric, SetMetric
from vcfe_bench.runs.journal import Scored
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import Line, RunDirectory
from vcfe_bench.scoring.networks import with_networks
from vcfe_bench.scoring.reader import Reader
from vcfe_bench.scoring.samples import score_samples
from vcfe_bench.scoring.sets import (
    score_pairs,
    score_sets,
)


def score(
    store: RunDirectory, dataset: Dataset, specs: Sequence[str] | None, observer: Observer, fresh: bool = False
) -> None:
    """Compute the metrics (default: all registered) that the store lacks in this version, with ``fresh`` all of them.

    Raises:
        UsageError: an unknown metric, or the dataset's videos are no longer those of the run, or a metric of ``specs``
            needs the run's target, which is not there any more.
    """
    names = list(specs or registry.METRICS.names())
    up_to_date = bool(store.journal) and isinstance(store.journal[-1], Scored)
    if up_to_date and not fresh:
        scored = {(card.spec, card.version) for card in store.cards()}
        if {(name, _version(name)) for name in names} <= scored:
            return
    metrics, cards = _load(names, dataset, must_work=specs is not None)
    metrics, networks = with_networks(store, dataset, metrics, cards, must_work=specs is not None)
    lines = [line for line in store.tasks().values() if line["status"] == "ok"]
    reader = Reader(store, dataset)
    of_samples = [m for m in metrics if isinstance(m, SampleMetric)]
    score_samples(store, reader, of_samples, networks, lines, observer, fresh)
    score_sets(store, reader, [m for m in metrics if isinstance(m, SetMetric)], lines, observer, cards)
    score_pairs(store, [m for m in metrics if isinstance(m, PairMetric)], lines)
    _add_problems(cards, store)
    specs_now = {card["spec"] for card in cards}
    kept = [card for card in store.cards() if card.spec not in specs_now]
    store.append(Scored((*kept, *map(ScoredCard.read, cards))))


def _load(names: list[str], dataset: Dataset, must_work: bool) -> tuple[list[Metric], list[Line]]:
    """Metrics that can be computed on the dataset, and an entry about each metric, computable or not."""
    metrics: list[Metric] = []
    cards: list[Line] = []
    for name in names:
        try:
            metric = registry.METRICS.build(name)
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
        return registry.METRICS.build(spec).card.version
    except UsageError:
        return None


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


def _add_problems(cards: list[Line], store: RunDirectory) -> None:
    """Say on each card on how many records the metric broke down, and how."""
    latest: dict[tuple[str, str], str | None] = {}
    for line in store.lines("score"):
        for name in line["values"]:
            latest[line["id"], name] = line["errors"].get(name)
    for card in cards:
        broken = [error for (_, name), error in latest.items() if name == card["name"] and error]
        card["problems"] = f"failed on {len(broken)} videos: {broken[0]}" if broken else None
