"""``vcfe-bench dataset chance``: how often a random draw of the generator is a counterfactual."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.method import Context, Query
from vcfe_bench.plugins.metric import Case, SampleMetric
from vcfe_bench.runs import plan
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.scoring.samples import score_case
from vcfe_bench.stats.intervals import Estimate, rate_interval

DRAW = "random_draws[draws=1]"
METRICS = ("fr", "semantic_fr", "bystanders_kept", "identity_kept", "shortcut_changed", "minimal_fr")
"""Metrics of each draw; those that the dataset does not support are left out."""
KEPT = {"FR": 1, "semantic_FR": 1, "bystanders_kept": 1, "shortcut_changed": 0}
"""Values of a draw that meets the goal, shows it, and keeps the rest, as far as the dataset can measure it."""
ALL = "goal met, rest kept"
Measured = Mapping[str, Estimate]
"""Chance levels by name."""


def measure(request: Request, draws: int, report: Callable[[int, int], None] = lambda done, total: None) -> Measured:
    """Chance levels of a dataset with a target and a generator, from ``draws`` random draws for each query.

    ``request`` chooses videos, goals, target and generator; its methods are not run. Each level is the mean of a metric
    over all draws, with an interval over videos; ``ALL`` is the share of draws that have all values of ``KEPT``.

    Raises:
        UsageError: anything the user has to change.
    """
    return measure_with(resolve(replace(request, methods=(DRAW,))), draws, report)


def measure_with(setup: Setup, draws: int, report: Callable[[int, int], None]) -> Measured:
    """As ``measure``, for a request that has been checked."""
    method = next(method for method in setup.methods if method.spec == DRAW)
    context = Context(setup.dataset, setup.target, setup.generator_for(method))
    tasks = [task for task in plan.make(setup, Originals(setup, {})).tasks if task.method == DRAW]
    metrics = _metrics(setup)
    values: dict[str, list[float]] = defaultdict(list)
    videos: list[str] = []
    for number, task in enumerate(tasks, start=1):
        if task.skip is not None:
            raise UsageError(f"there are no random draws here: {task.skip}")
        sample = sample_of(setup.dataset, setup.request.split, task.original)
        queries = [Query(sample, task.goal, seeds.derive(task.seed, "chance", draw)) for draw in range(draws)]
        for explanation in method.answer(queries, context):
            with torch.no_grad():
                after = setup.target(explanation.video[None])[0]
            case = Case(setup.dataset, sample, task.goal, explanation.video, torch.tensor(task.original.output), after)
            scores = score_case(case, metrics).values
            for name, score in scores.items():
                values[name].append(score)
            values[ALL].append(float(all(scores[name] == KEPT[name] for name in KEPT.keys() & scores.keys())))
            videos.append(task.original.sample)
        report(number, len(tasks))
    return {name: rate_interval(series, videos) for name, series in values.items() if not all(map(math.isnan, series))}


def _metrics(setup: Setup) -> list[SampleMetric]:
    metrics = [registry.METRICS.build(name) for name in METRICS]
    return [m for m in metrics if isinstance(m, SampleMetric) and m.unavailable(setup.dataset) is None]
