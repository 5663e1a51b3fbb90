"""``vcfe-bench tune``: one search for the settings of a method, the same for every method.

``TRIALS`` settings are tried, each as an ordinary run on the same validation videos with the same budget: first the
defaults, then what a tree-structured Parzen estimator with a fixed seed proposes. The objective needs no oracle, so
that a user of recorded videos has it too. A setting with a video that fails or exceeds the budget is refused before it
is scored, and has the objective 0.

The preset file is written after each trial, and a repeated command continues with the next one. What is proposed
depends on the trials so far alone, so that an interrupted search finds the same settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors import choice
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.abilities import TransferTargets
from vcfe_bench.plugins.metric import SampleMetric
from vcfe_bench.plugins.search_space import MOST, IntegerRange, Options, Range, RealRange, SearchSpace
from vcfe_bench.plugins.source import code_identity
from vcfe_bench.plugins.target import Target
from vcfe_bench.results import leaderboard
from vcfe_bench.runs import plan, tuned
from vcfe_bench.runs.configuration import NetworkIdentity
from vcfe_bench.runs.generate import generate
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.runs.tuned import FOLDER, Conditions, Question, Trial, Tuned
from vcfe_bench.scoring.session import score_run
from vcfe_bench.workflows.scored_run import scored_run

SEED = 0
OBJECTIVE = "FR * transfer_FR * (1 - LPIPS)"
FLIPS, TRANSFER, PERCEPTUAL = "fr", "transfer_fr", "lpips_st_alex"
"""Metrics of the objective. This variant of LPIPS needs no download."""


def tune(
    request: Request,
    out: Path = FOLDER,
    observer: Observer | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Path:
    """Tune the one method of a request for its dataset, target and budget; the path of the preset file.

    Parameters that the method's spec sets are not tuned. The runs of the trials are in a folder next to the file.

    Raises:
        UsageError: anything the user has to change, such as a dataset without a second target.
    """
    search = _Search(resolve(replace(request, split="validation")), out)
    state = search.state()
    while not state.finished:
        state = search.extended(state, observer or Observer())
        log(f"trial {len(state.trials)} of {tuned.TRIALS}: {_shown(state.trials[-1])}")
    return out / state.question.file


def _shown(trial: Trial) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in trial.parameters.items())
    return f"{settings}: {f'refused: {trial.refused}' if trial.refused else f'{trial.objective:.3f}'}"


class _Search:
    """A search for one question; ``setup`` is that of a run of the method."""

    def __init__(self, setup: Setup, out: Path) -> None:
        self.setup, self.out = setup, out
        (spec,) = setup.request.methods
        self.name, self.fixed = specs.parse(spec)
        method = registry.METHODS.build(spec)
        self.space = _space(spec, type(method).search_space, self.fixed)
        self.defaults = {name: getattr(method.params, name) for name in self.space}
        for name, value in self.defaults.items():
            if value not in self.space[name]:
                raise UsageError(f"the default {value} of '{name}' is not in the search space of method '{self.name}'")
        if setup.request.budget is None:
            raise UsageError("settings are tuned for a budget: give one with --budget")
        self.question = Question(
            setup.dataset.spec, setup.target.spec, specs.format(self.name, self.fixed), setup.request.budget
        )
        witnesses = _witnesses(setup)
        transfer = specs.format(TRANSFER, {"targets": [witness.spec for witness in witnesses]})
        self.metrics = (FLIPS, transfer, PERCEPTUAL)
        cards = [_metric(spec, setup).card for spec in self.metrics]
        self.columns = [card.name for card in cards]
        generator = setup.generator_for(method)
        self.conditions = Conditions(
            target=_identity(setup.target),
            generator=NetworkIdentity(generator.spec, generator.fingerprint) if generator else None,
            code=code_identity(type(method)),
            witnesses=tuple(map(_identity, witnesses)),
            videos=_videos(setup),
            metrics={card.name: card.version for card in cards},
            objective=OBJECTIVE,
        )

    def state(self) -> Tuned:
        """The search as far as it is in the preset file."""
        path = self.out / self.question.file
        if not path.exists():
            return Tuned(self.question, self.conditions, None, ())
        state = tuned.read(path)
        if (state.question, state.conditions) != (self.question, self.conditions):
            raise UsageError(
                f"{path} holds a search under other conditions ({self._difference(state)}); choose another --out"
            )
        return state

    def _difference(self, state: Tuned) -> str:
        before, now = vars(state.conditions), vars(self.conditions)
        return next((f"other {name}" for name in now if before[name] != now[name]), "another question")

    def extended(self, state: Tuned, observer: Observer) -> Tuned:
        """The search with one more trial, written to the preset file."""
        settings = propose(self.space, state.trials, self.defaults)
        known = [trial for trial in state.trials if _text(trial.parameters) == _text(settings)]
        trials = (*state.trials, known[0] if known else self._try(settings, len(state.trials), observer))
        best = max(trials, key=lambda trial: trial.objective)
        done = len(trials) >= tuned.TRIALS and not all(trial.refused for trial in trials)
        state = replace(state, trials=trials, parameters=best.parameters if done else None)
        state.write(self.out)
        return state

    def _try(self, settings: Mapping[str, Any], number: int, observer: Observer) -> Trial:
        spec = specs.format(self.name, {**self.fixed, **settings})
        setup = _setup(self.setup.request, spec, self.setup)
        folder = self.out / Path(self.question.file).stem / f"trial-{number:02d}"
        with scored_run(folder, setup.configuration()) as store:
            try:
                generate(setup, store, _Strict(observer), choice.current())
                _check(store.records().values())
            except _Refused as refusal:
                return Trial(dict(settings), 0.0, refused=str(refusal))
            score_run(store, setup.dataset, self.metrics, observer)
        (method,) = setup.methods
        row: Mapping[Any, Any] = leaderboard.load(folder).frame.set_index("method").loc[method.spec].to_dict()
        flips, transfer, distance = (float(row[name]) for name in self.columns)
        return Trial(
            dict(settings),
            objective(flips, transfer, distance),
            FR=flips,
            transfer_FR=None if math.isnan(transfer) else transfer,
            LPIPS=distance,
            calls=float(row["calls"]),
        )


def _setup(request: Request, spec: str, setup: Setup | None = None) -> Setup:
    """The setup of a trial: that of a request, with the method of a spec instead."""
    method, recipe = registry.METHODS.build(spec), partial(_setup, request, spec)
    return replace(setup or resolve(request), methods=(method,), recipe=recipe)


def objective(flip_rate: float, transfer: float, distance: float) -> float:
    """FR · transfer_FR · (1 - LPIPS), at least 0; 0 if nothing was flipped, so that there is no transfer rate (NaN)."""
    return 0.0 if math.isnan(transfer) else flip_rate * transfer * max(0.0, 1 - distance)


def propose(space: SearchSpace, trials: Sequence[Trial], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings to try after these trials: the defaults, then what maximises the expected improvement.

    The tree-structured Parzen estimator (Bergstra et al. 2011) is that of Optuna, whose first ten trials are random.
    """
    if not trials:
        return dict(defaults)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seeds.derive(SEED, "tune", len(trials)) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {name: _distribution(range) for name, range in space.items()}
    for trial in trials:
        known = {name: _encoded(space[name], value) for name, value in trial.parameters.items()}
        study.add_trial(optuna.trial.create_trial(params=known, distributions=distributions, value=trial.objective))
    proposed = study.ask(distributions).params
    return {name: _decoded(space[name], value) for name, value in proposed.items()}


def _text(settings: Mapping[str, Any]) -> str:
    return specs.format("settings", settings)


def _distribution(range: Range) -> Any:
    from optuna import distributions

    match range:
        case RealRange():
            return distributions.FloatDistribution(range.low, range.high, log=range.log)
        case IntegerRange():
            return distributions.IntDistribution(range.low, range.high, log=range.log)
        case Options():
            return distributions.CategoricalDistribution(list(map(specs.format_value, range.values)))


def _encoded(range: Range, value: Any) -> Any:
    """A value as Optuna knows it: that of ``Options`` is text, because lists cannot be options there."""
    return specs.format_value(value) if isinstance(range, Options) else value


def _decoded(range: Range, value: Any) -> Any:
    if not isinstance(range, Options):
        return value
    return next(option for option in range.values if specs.format_value(option) == value)


def _space(spec: str, space: SearchSpace, fixed: Mapping[str, object]) -> SearchSpace:
    """The part of a search space that a spec leaves free."""
    free = {name: range for name, range in space.items() if name not in fixed}
    if not free:
        raise UsageError(f"method '{spec}' has nothing to tune")
    if len(space) > MOST:
        raise UsageError(f"method '{spec}' has a search space of {len(space)} parameters; {MOST} are allowed")
    return free


def _witnesses(setup: Setup) -> list[Target]:
    """The targets that judge whether flips transfer: never the target under test, and of another architecture."""
    dataset = setup.dataset
    known = tuple(dataset.transfer_targets) if isinstance(dataset, TransferTargets) else ()
    others = [t for t in map(registry.frozen_target, known) if t.fingerprint != setup.target.fingerprint]
    if others:
        return others
    raise UsageError(
        f"dataset '{dataset.spec}' names no target of another architecture than '{setup.target.spec}' in "
        "transfer_targets; settings cannot be tuned without one, because transfer_FR is part of the objective"
    )


def _metric(spec: str, setup: Setup) -> SampleMetric:
    metric = registry.METRICS.build(spec)
    assert isinstance(metric, SampleMetric)
    reason = metric.unavailable(setup.dataset)
    if reason is not None:
        raise UsageError(f"settings cannot be tuned on '{setup.dataset.spec}': {metric.card.name}: {reason}")
    return metric


def _identity(target: Target) -> NetworkIdentity:
    return NetworkIdentity(target.spec, target.fingerprint)


def _videos(setup: Setup) -> tuple[str, ...]:
    """Ids of the videos that every trial is about."""
    return tuple(dict.fromkeys(task.original.sample for task in plan.make(setup, Originals(setup, {})).tasks))


class _Refused(Exception):
    """A setting is not scored; the message is the reason."""


class _Strict(Observer):
    """Passes events on, and stops a run at the first video that failed or exceeded the budget."""

    def __init__(self, observer: Observer) -> None:
        self.planned, self.began, self.progress = observer.planned, observer.began, observer.progress  # type: ignore[method-assign]
        self.observer = observer

    def finished(self, records: Sequence[Record]) -> None:
        self.observer.finished(records)
        _check(records)


def _check(records: Iterable[Record]) -> None:
    """Refuse a setting with which a video failed.

    Raises:
        _Refused: there is one.
        UsageError: a video was skipped, because the method does not support it.
    """
    for record in records:
        if record.status == "failed":
            raise _Refused(record.reason)
        if record.status == "skipped":
            raise UsageError(f"method '{record.method}' cannot be tuned here: {record.reason}")
