"""The networks that metrics query again: the target and generator of the run, and other targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.metric import Metric, SampleMetric
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.run_directory import Line, RunDirectory


class Missing(UsageError):
    """The run lacks what a metric asks for: the metric has no values, whoever named it."""


@dataclass(frozen=True)
class Networks:
    """What metrics may ask again: target and generator of the run, and other targets by spec."""

    target: Target | None = None
    generator: Generator | None = None
    others: Mapping[str, Target] = field(default_factory=dict)


def with_networks(
    store: RunDirectory, dataset: Dataset, metrics: list[Metric], cards: list[Line], must_work: bool
) -> tuple[list[Metric], Networks]:
    """The networks that metrics ask; without one, what is left of the metrics, the others' cards telling why."""
    target, generator = cache(partial(_target, store)), cache(partial(_generator, store))
    others = cache(partial(_others, store, dataset))
    left: list[Metric] = []
    networks = Networks()
    for metric in metrics:
        if isinstance(metric, SampleMetric):
            try:
                networks = Networks(
                    target() if metric.needs_target else networks.target,
                    generator() if metric.needs_generator else networks.generator,
                    {**networks.others, **others(tuple(metric.other_targets(dataset)))},
                )
            except UsageError as error:
                if must_work and not isinstance(error, Missing):
                    raise
                next(card for card in cards if card["name"] == metric.card.name)["unavailable"] = str(error)
                continue
        left.append(metric)
    return left, networks


def _target(store: RunDirectory) -> Target:
    planned = store.configuration["target"]
    target = registry.frozen_target(planned["spec"])
    if target.fingerprint != planned["fingerprint"]:
        raise UsageError(f"target '{target.spec}' is not the one that was run: its weights or preprocessing changed")
    return target


def _generator(store: RunDirectory) -> Generator:
    planned = store.configuration["generator"]
    if planned is None:
        raise Missing("the run has no generator")
    generator = registry.GENERATORS.build(planned["spec"])
    if generator.fingerprint != planned["fingerprint"]:
        raise UsageError(f"generator '{generator.spec}' is not the one that was run: its weights or settings changed")
    return generator


def _others(store: RunDirectory, dataset: Dataset, specs: tuple[str, ...]) -> dict[str, Target]:
    """Targets by spec, but for the one that was explained."""
    found = {spec: registry.frozen_target(spec) for spec in specs}
    for target in found.values():
        if target.classes != dataset.classes:
            raise UsageError(
                f"target '{target.spec}' knows the classes {', '.join(target.classes) or 'none'}; "
                f"dataset '{dataset.spec}' has {', '.join(dataset.classes) or 'none'}"
            )
    explained = store.configuration["target"]["fingerprint"]
    left = {spec: target for spec, target in found.items() if target.fingerprint != explained}
    if specs and not left:
        raise Missing("no target is named but the one that was explained")
    return left
