"""The networks that metrics query: target and generator of the run, and further targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.plugins import apart, registry
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.metric import SampleMetric
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.configuration import Configuration


class Missing(UsageError):
    """The run itself does not have what a metric needs: the metric has no values, even if requested by name."""


@dataclass(frozen=True)
class Networks:
    """Target and generator of the run, and further targets by spec; None and empty as far as no metric needs them."""

    target: Target | None = None
    generator: Generator | None = None
    others: Mapping[str, Target] = field(default_factory=dict)


def load_networks(
    configuration: Configuration, dataset: Dataset, metrics: Sequence[SampleMetric], must_work: bool
) -> tuple[Networks, dict[str, str]]:
    """The networks that the metrics query, and why some metrics cannot be computed, by metric name.

    Raises:
        UsageError: with ``must_work``, a network cannot be loaded or has changed since the run.
    """
    loader = _Loader(configuration, dataset)
    networks = Networks()
    unavailable: dict[str, str] = {}
    for metric in metrics:
        try:
            networks = loader.extended(networks, metric)
        except UsageError as error:
            if must_work and not isinstance(error, Missing):
                raise
            unavailable[metric.card.name] = str(error)
        except (Exception, SystemExit) as error:
            unavailable[metric.card.name] = describe(error)
    return networks, unavailable


class _Loader:
    """Loads each network when the first metric needs it, and checks that it is the one of the run."""

    def __init__(self, configuration: Configuration, dataset: Dataset) -> None:
        self.configuration, self.dataset = configuration, dataset
        self.others: dict[str, Target] = {}

    def extended(self, networks: Networks, metric: SampleMetric) -> Networks:
        """``networks`` with those that the metric queries."""
        if metric.needs_target:
            networks = replace(networks, target=self.target)
        if metric.needs_generator:
            networks = replace(networks, generator=self.generator)
        further = self.further_targets(apart.call(metric, metric.other_targets, self.dataset))
        return replace(networks, others={**networks.others, **further})

    @cached_property
    def target(self) -> Target:
        planned = self.configuration.target
        target = registry.frozen_target(planned.spec)
        if target.fingerprint != planned.fingerprint:
            raise UsageError(f"target '{target.spec}' has changed since the run: other weights or other preprocessing")
        return target

    @cached_property
    def generator(self) -> Generator:
        planned = self.configuration.generator
        if planned is None:
            raise Missing("the run has no generator")
        generator = registry.GENERATORS.build(planned.spec)
        if generator.fingerprint != planned.fingerprint:
            raise UsageError(f"generator '{generator.spec}' has changed since the run: other weights or other settings")
        return generator

    def further_targets(self, specs: Sequence[str]) -> dict[str, Target]:
        """Targets by spec, without the one that the run explains."""
        for spec in specs:
            if spec not in self.others:
                self.others[spec] = self._of_these_classes(registry.frozen_target(spec))
        explained = self.configuration.target.fingerprint
        further = {spec: self.others[spec] for spec in specs if self.others[spec].fingerprint != explained}
        if specs and not further:
            raise Missing("no target is named other than the one that the run explains")
        return further

    def _of_these_classes(self, target: Target) -> Target:
        if target.classes != self.dataset.classes:
            raise UsageError(
                f"target '{target.spec}' predicts the classes {', '.join(target.classes) or 'none'}; "
                f"dataset '{self.dataset.spec}' has {', '.join(self.dataset.classes) or 'none'}"
            )
        return target
