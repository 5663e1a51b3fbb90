"""What tables must fulfil so that their rows can be compared, as ``docs/how-to-compete.md`` states it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.registry import METRICS
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.rows import asked
from vcfe_bench.runs.configuration import PROTOCOL, REFERENCES, Configuration
from vcfe_bench.runs.tuned import Tuned

VIDEOS = 64
"""Fewest videos that are requested."""
ROWS = ("bttf", "random_draws", "nearest_draw")
"""Methods that stand in every table with a generator, besides the reference methods."""
UNCOMMITTED = "-dirty"
"""End of the revision of code that is not committed."""
ROUNDING = 1.0
"""Calls by which the smaller budget may differ from a quarter of the larger one."""


def required(generator: bool) -> tuple[str, ...]:
    """Names of the methods that stand in every table."""
    return (*(ROWS if generator else ()), *REFERENCES)


def name(spec: str) -> str:
    """The name of a method, without its parameters."""
    return specs.parse(spec)[0]


def unmet(result: Result) -> Iterator[str]:
    """What a single table lacks, in words that follow "it"; nothing if it keeps the protocol."""
    made, frame = result.about.configuration, result.frame
    present = {name(method) for method in result.about.methods}
    missing = [method for method in required(made.generator is not None) if method not in present]
    if made.protocol != PROTOCOL:
        yield f"is of protocol {made.protocol}, not {PROTOCOL}"
    if made.split != "test":
        yield f"is about the {made.split} split, not the test split"
    if made.budget is None:
        yield "has no budget that all methods share"
    if "calls" not in frame or frame["calls"].isna().all():
        yield "does not count network calls"
    if missing:
        yield f"has no row {', '.join(missing)}"
    if made.limit < VIDEOS:
        yield f"is about {made.limit} videos, not {VIDEOS}"


def problems(results: Mapping[str, Result], method: str) -> Iterator[str]:
    """What is wrong with the tables of a submission of ``method``, by their names, in sentences without a full stop."""
    made = {table: result.about.configuration for table, result in results.items()}
    for table, result in results.items():
        yield from (f"{table} {lack}" for lack in unmet(result))
        if method not in map(name, result.about.methods):
            yield f"{table} has no row {method}"
        if (result.about.revision or "").endswith(UNCOMMITTED):
            yield f"{table} was made by code of vcfe-bench that is not committed"
        yield from (f"{table}: {problem}" for problem in _versions(result))
        yield from (f"{table}: {problem}" for problem in edited(result))
    yield from _questions(made)
    yield from _budgets_and_seeds(list(made.values()))


def untuned(spec: str, space: Sequence[str], preset: Tuned | None) -> str | None:
    """Why the parameters of a row that a search may set, ``space``, are not accounted for; None if they are."""
    stated = {key: value for key, value in specs.parse(spec)[1].items() if key in space}
    if not stated:
        return None
    if preset is None or not preset.finished:
        return f"{spec} has tuned parameters, but no finished search of this budget comes with it"
    _, found = specs.parse(specs.format("method", preset.parameters or {}))
    wrong = [key for key, value in stated.items() if found.get(key) != value]
    return f"{', '.join(wrong)} of {spec} is not what its search has found" if wrong else None


def against(results: Mapping[str, Result], committed: Sequence[Result]) -> Iterator[str]:
    """How a submission differs from the committed tables of its dataset and target that keep the protocol."""
    by_budget = {result.about.configuration.budget: result for result in committed if not any(unmet(result))}
    for table, result in results.items():
        made = result.about.configuration
        same = by_budget.get(made.budget)
        if by_budget and same is None:
            budgets = " and ".join(f"{budget:g}" for budget in sorted(budget for budget in by_budget if budget))
            yield f"{table} has a budget of {made.budget or 0:g} calls; committed tables have {budgets}"
        elif same is not None and (difference := _difference(same.about.configuration, made)):
            yield f"{table} asks another question than the committed table: {difference}"


def edited(result: Result) -> Iterator[str]:
    """Which means of a table are not those of its values of single videos."""
    if result.records is None:
        yield "it has no values of single videos"
        return
    records = asked(result.records, result.about.metrics)
    for card in result.about.metrics:
        if card.level != "sample" or card.name not in records:
            continue
        means = records.groupby("method")[card.name].mean().reindex(result.frame["method"])
        if not np.allclose(means.astype(float), result.frame[card.name].astype(float), rtol=1e-6, equal_nan=True):
            yield f"{card.name} is not the mean of its values of single videos"


def _versions(result: Result) -> Iterator[str]:
    for card in result.about.metrics:
        if card.unavailable or card.name not in result.about.deciding:
            continue
        try:
            now = METRICS.build(card.spec).card.version
        except UsageError:
            yield f"{card.name} decides, but is not a metric of vcfe-bench"
            continue
        if card.version != now:
            yield f"{card.name} has version {card.version}, now {now}: vcfe-bench rescore brings it up to date"


def _questions(made: Mapping[str, Configuration]) -> Iterator[str]:
    (first, question), *others = made.items()
    for table, other in others:
        if difference := _difference(question, other):
            yield f"{first} and {table} ask different questions: {difference}"


def _difference(first: Configuration, second: Configuration) -> str | None:
    """How two questions differ in more than budget, seed and methods."""
    alike = replace(second, budget=first.budget, seed=first.seed)
    if first.limit != second.limit:
        return f"{first.limit} videos, not {second.limit}"
    return first.other_question(alike)


def _budgets_and_seeds(made: Sequence[Configuration]) -> Iterator[str]:
    runs = pd.DataFrame({"budget": [each.budget or 0.0 for each in made], "seed": [each.seed for each in made]})
    budgets = sorted(runs["budget"].unique())
    if len(budgets) < 2 or abs(budgets[-1] / 4 - budgets[0]) > ROUNDING:
        shown = ", ".join(f"{budget:g}" for budget in budgets)
        yield f"the budgets are {shown}: runs with two are needed, one a quarter of the other"
    seeds = {tuple(sorted(part["seed"])) for _, part in runs.groupby("budget")}
    if len(seeds) > 1 or any(each != tuple(range(len(each))) for each in seeds):
        yield "each budget needs one run for each of the same seeds 0, 1, 2, … in order, so that none is chosen"
