"""Scores of single counterfactuals."""

from __future__ import annotations

import numpy as np
import torch

from vcfe_bench import goals
from vcfe_bench.core.errors import describe
from vcfe_bench.executors import parallel
from vcfe_bench.plugins.metric import Card, Case, SampleMetric
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import CURVES, Line, RunDirectory
from vcfe_bench.scoring.networks import Networks
from vcfe_bench.scoring.reader import Reader


def score_samples(
    store: RunDirectory,
    reader: Reader,
    metrics: list[SampleMetric],
    networks: Networks,
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
                errors[metric.card.name] = describe(error)
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
