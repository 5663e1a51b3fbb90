"""Builds and checks the plug-ins that a request names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from torch import nn

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import apart, registry, specs
from vcfe_bench.plugins.abilities import GoalGroups
from vcfe_bench.plugins.contract.samples import checked_size
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.source import code_identity
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import SPLITS
from vcfe_bench.runs import goal_selection, tuned
from vcfe_bench.runs.configuration import (
    NONE,
    PROTOCOL,
    REFERENCES,
    THREADS,
    Configuration,
    MethodIdentity,
    NetworkIdentity,
)
from vcfe_bench.runs.goal_selection import GoalSelection
from vcfe_bench.runs.network_guard import NetworkGuard, Watched
from vcfe_bench.runs.prices import Prices
from vcfe_bench.runs.request import Request

__all__ = ["Request", "Setup", "method_identity", "resolve"]


@dataclass(frozen=True)
class Setup:
    """The plug-ins of a run. ``methods`` includes the reference methods; target and generator are frozen.

    ``recipe`` builds the same setup in another process, and can be sent to it; by default, ``resolve`` does.
    """

    request: Request
    methods: tuple[Method, ...]
    dataset: Dataset
    target: Target
    generator: Generator | None
    selection: GoalSelection
    recipe: Callable[[], Setup] | None = None

    @cached_property
    def target_guard(self) -> NetworkGuard:
        """Notices changes of the target."""
        return NetworkGuard({"": Watched("weights of the target", self.target, self._target_again)})

    @cached_property
    def generator_guard(self) -> NetworkGuard:
        """Notices changes of the generator's networks."""
        networks = self.generator.networks() if self.generator else {}
        return NetworkGuard(
            {
                name: Watched("weights of the generator", network, partial(self._generator_again, name))
                for name, network in networks.items()
            }
        )

    def _target_again(self) -> Target:
        return registry.frozen_target(self.target.spec)

    def _generator_again(self, network: str) -> nn.Module:
        assert self.generator is not None
        return registry.GENERATORS.build(self.generator.spec).networks()[network]

    def generator_for(self, method: Method) -> Generator | None:
        """The generator, for a method that declares that it needs one."""
        return self.generator if method.needs_generator else None

    def budget_for(self, method: Method) -> float | None:
        """The budget of a method: that of the request, and none for the reference methods."""
        return None if method.spec in REFERENCES else self.request.budget

    @cached_property
    def prices(self) -> Prices:
        """Prices of network calls, the same for all methods."""
        return Prices(self.target, self.generator, self.dataset.shape)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.target.classes or self.dataset.classes

    def configuration(self) -> Configuration:
        """Everything that determines what a run computes; a run directory belongs to one configuration."""
        generator = self.generator
        return Configuration(
            methods={method.spec: method_identity(method) for method in self.methods},
            dataset=self.dataset.spec,
            split=self.request.split,
            limit=self.request.limit,
            goals=self.request.goals,
            target=NetworkIdentity(self.target.spec, self.target.fingerprint),
            classes=tuple(self.classes),
            generator=NetworkIdentity(generator.spec, generator.fingerprint) if generator else None,
            seed=self.request.seed,
            threads=THREADS,
            budget=self.request.budget,
            choice="stratified",
            protocol=PROTOCOL,
        )


def method_identity(method: Method) -> MethodIdentity:
    """What determines the results of a method."""
    return MethodIdentity(code_identity(type(method)), method.fingerprint, method.width)


def resolve(request: Request) -> Setup:
    """Build and check everything that a request names.

    Raises:
        UsageError: anything the user has to change.
    """
    if request.limit < 1:
        raise UsageError(f"--limit must be at least 1, not {request.limit}")
    if request.budget is not None and not 0 < request.budget < math.inf:
        raise UsageError(f"--budget must be a positive number of calls, not {request.budget:g}")
    if request.split not in SPLITS:
        raise UsageError(f"unknown split '{request.split}'; {nearest(request.split, SPLITS)}")
    if not request.methods:
        raise UsageError("no method is given: name one with --methods")
    dataset = apart.dataset(request.dataset)
    target_spec = request.target or dataset.target
    if not target_spec:
        raise UsageError(f"dataset '{dataset.spec}' has no target of its own: name one with --target")
    target = registry.frozen_target(target_spec)
    methods = _methods(request, dataset.spec, target.spec)
    if target.classes and dataset.classes and target.classes != dataset.classes:
        raise UsageError(
            f"target '{target.spec}' has the classes {', '.join(target.classes)}; "
            f"dataset '{dataset.spec}' has {', '.join(dataset.classes)}"
        )
    if not checked_size(dataset, request.split):
        raise UsageError(f"dataset '{dataset.spec}' has no videos in its {request.split} split")
    groups = dataset.goal_groups if isinstance(dataset, GoalGroups) else None
    selection = goal_selection.read(request.goals, target.classes or dataset.classes, dataset.values, groups)
    return Setup(request, methods, dataset, target, _generator(request, dataset), selection)


def _methods(request: Request, dataset: str, target: str) -> tuple[Method, ...]:
    if request.preset is not None and request.preset != tuned.PRESET:
        known = {preset for spec in request.methods for preset in registry.METHODS.load(specs.parse(spec)[0]).presets}
        if request.preset not in known:
            raise UsageError(f"no chosen method has a preset '{request.preset}'; {nearest(request.preset, known)}")
    chosen = [_method(spec, request, dataset, target) for spec in request.methods]
    references = [registry.METHODS.build(name) for name in REFERENCES]
    return tuple({method.spec: method for method in (*chosen, *references)}.values())


def _method(spec: str, request: Request, dataset: str, target: str) -> Method:
    method = registry.METHODS.build(spec, request.preset, target)
    if request.preset != tuned.PRESET or not method.search_space:
        return method
    if request.budget is None:
        raise UsageError(f"--preset {tuned.PRESET} needs --budget: settings are tuned for a budget")
    name, given = specs.parse(spec)
    found = tuned.parameters(dataset, target, specs.format(name, given), request.budget)
    return registry.METHODS.build(specs.format(name, {**found, **given}))


def _generator(request: Request, dataset: Dataset) -> Generator | None:
    spec = request.generator or dataset.generator
    if spec in ("", NONE):
        return None
    generator = registry.GENERATORS.build(spec)
    violation = generator.constraints.violation(dataset.shape)
    if violation:
        raise UsageError(
            f"generator '{generator.spec}' does not fit dataset '{dataset.spec}': {violation}; "
            "choose another with --generator, or none"
        )
    return generator
