"""``vcfe-bench tune`` and ``--preset tuned``."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vcfe_toys.dataset import Lights
from vcfe_toys.methods import Push

from tests.harness.test_cli import call
from tests.harness.toys import ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.plugins.search_space import MOST, IntegerRange, Options, RealRange
from vcfe_bench.runs import tuned
from vcfe_bench.runs.journal import Scores
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.runs.tuned import Trial
from vcfe_bench.workflows import tune as workflow

SPACE = {"steps": IntegerRange(1, 8), "rate": RealRange(1.0, 100.0, log=True), "label": Options(("", "dim"))}
BUDGET = 15.0
"""Calls of five steps of ``toy_push``: a forward and a backward pass each."""
WITNESS = "toy_conv[version=2]"
NAME = "toy_lights-toy_conv-toy_push-15.json"


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A method to tune, a witness, few trials, a distance for small videos, and an empty working directory."""
    monkeypatch.setattr(Push, "search_space", SPACE)
    monkeypatch.setattr(Lights, "transfer_targets", (WITNESS,), raising=False)
    monkeypatch.setattr(tuned, "TRIALS", 4)
    monkeypatch.setattr(workflow, "PERCEPTUAL", "toy_change")
    monkeypatch.chdir(tmp_path)


def request(method: str = "toy_push", **rest: object) -> Request:
    return ask(method, **{"limit": 2, "budget": BUDGET, **rest})


def test_every_trial_is_an_ordinary_run_and_the_best_is_written() -> None:
    state = tuned.read(workflow.tune(request()))
    assert len(state.trials) == 4
    assert state.trials[0].parameters == {"steps": 5, "rate": 20.0, "label": ""}, "the defaults come first"
    refused = [trial for trial in state.trials if trial.refused]
    scored = [trial for trial in state.trials if not trial.refused]
    assert refused
    assert len(scored) > 1
    for number, trial in enumerate(state.trials):
        store = RunDirectory(tuned.FOLDER / NAME.removesuffix(".json") / f"trial-{number:02d}")
        assert store.configuration.split == "validation"
        assert store.configuration.budget == BUDGET
        assert bool(store.entries(Scores)) != bool(trial.refused), "a refused setting is not scored"
        assert bool(trial.refused) == (trial.parameters["steps"] > 5)
        if trial.refused:
            assert trial.objective == 0
            assert "calls" in trial.refused
            continue
        table = pd.read_parquet(store.path / "records.parquet")
        flips, transfer, distance = (table[name].mean() for name in ("FR", "transfer_FR", "change"))
        assert pytest.approx(flips) == trial.FR
        assert trial.calls == 3 * trial.parameters["steps"]
        assert pytest.approx(distance) == trial.LPIPS
        expected = 0 if flips == 0 else flips * transfer * (1 - distance)
        assert trial.objective == pytest.approx(expected)
    best = max(state.trials, key=lambda trial: trial.objective)
    assert state.parameters == best.parameters
    assert best.objective > 0


class Interrupted(Observer):
    def __init__(self, batches: int) -> None:
        self.left = batches

    def began(self, batch: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_an_interrupted_search_ends_as_if_it_had_not_been_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 3)
    whole = workflow.tune(request(), tmp_path / "whole")
    for batches in (1, 1):
        with pytest.raises(KeyboardInterrupt):
            workflow.tune(request(), tmp_path / "parts", Interrupted(batches))
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "parts")
    with pytest.raises(UsageError, match="has 2 of 3 trials; run vcfe-bench tune again to finish it"):
        resolve(request(preset="tuned"))
    assert workflow.tune(request(), tmp_path / "parts").read_bytes() == whole.read_bytes()
    before = whole.stat().st_mtime_ns
    lines: list[str] = []
    workflow.tune(request(), tmp_path / "whole", log=lines.append)
    assert lines == [], "a finished search makes no more trials"
    assert whole.stat().st_mtime_ns == before


def test_the_target_under_test_is_never_its_own_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 1)
    monkeypatch.setattr(Lights, "transfer_targets", ("toy_conv", WITNESS))
    for target, witness in (("toy_conv", WITNESS), (WITNESS, "toy_conv")):
        state = tuned.read(workflow.tune(request(target=target)))
        assert [network.spec for network in state.conditions.witnesses] == [witness]
        assert state.conditions.target.spec == target
    monkeypatch.setattr(Lights, "transfer_targets", ("toy_conv",))
    with pytest.raises(UsageError, match="names no target of another architecture than 'toy_conv'"):
        workflow.tune(request())
    monkeypatch.delattr(Lights, "transfer_targets")
    with pytest.raises(UsageError, match="transfer_FR is part of the objective"):
        workflow.tune(request())


def test_another_search_in_the_same_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 1)
    workflow.tune(request())
    with pytest.raises(
        UsageError, match=r"holds a search under other conditions \(other videos\); choose another --out"
    ):
        workflow.tune(request(limit=3))


def test_a_method_of_which_no_setting_fits_has_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 2)
    state = tuned.read(workflow.tune(request(budget=2.0)))
    assert state.parameters is None
    assert all(trial.refused for trial in state.trials)
    assert resolve(request(preset="tuned", budget=2.0)).methods[0].spec == "toy_push"


def test_the_tuned_preset_is_that_of_dataset_target_method_and_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 1)
    path = workflow.tune(request())
    best = {"steps": 3, "rate": 30.0, "label": "dim"}
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "parameters": best}))
    asked = ask("toy_push", "toy_push[steps=4]", "toy_half", preset="tuned", budget=BUDGET)
    specs = [method.spec for method in resolve(asked).methods[:3]]
    assert specs == ["toy_push[label=dim,rate=30.0,steps=3]", "toy_push[label=dim,rate=30.0,steps=4]", "toy_half"]
    for other in ({"budget": 16.0}, {"target": WITNESS}, {"dataset": "toy_lights[videos=30]"}):
        with pytest.raises(UsageError, match="no settings of toy_push are tuned for"):
            resolve(ask("toy_push", **{"preset": "tuned", "budget": BUDGET, **other}))
    with pytest.raises(UsageError, match="--preset tuned needs --budget"):
        resolve(ask("toy_push", preset="tuned"))
    path.write_text("{}")
    with pytest.raises(UsageError, match="is not a file that vcfe-bench tune has written"):
        resolve(asked)


def test_a_spec_that_sets_a_parameter_is_tuned_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 1)
    path = workflow.tune(request("toy_push[steps=2]"))
    assert path.name == "toy_lights-toy_conv-toy_push_steps_2-15.json"
    assert {frozenset(trial.parameters) for trial in tuned.read(path).trials} == {frozenset({"rate", "label"})}


def test_from_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tuned, "TRIALS", 1)
    command = ["tune", "toy_push", "--dataset", "toy_lights", "--budget", "15"]
    assert call(monkeypatch, *command) == 0
    told = capsys.readouterr().out
    assert "trial 1 of 1: steps=5, rate=20.0, label=: 0." in told
    assert f"wrote leaderboards/tuned/{NAME}" in told
    assert len(tuned.read(tuned.FOLDER / NAME).conditions.videos) == 8
    assert call(monkeypatch, "tune", "toy_half", *command[2:]) == 2
    assert capsys.readouterr().err == "vcfe-bench: method 'toy_half' has nothing to tune\n"


trials = st.lists(
    st.builds(
        lambda steps, rate, label, value: Trial({"steps": steps, "rate": rate, "label": label}, value),
        st.integers(1, 8),
        st.floats(1, 100),
        st.sampled_from(["", "dim"]),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=14,
)


@given(trials)
@settings(max_examples=5, deadline=None)
def test_proposals_lie_in_the_space_and_depend_on_the_trials_alone(known: list[Trial]) -> None:
    proposed = workflow.propose(SPACE, known, {})
    assert proposed.keys() == SPACE.keys()
    assert all(value in SPACE[name] for name, value in proposed.items())
    assert proposed == workflow.propose(SPACE, known, {})


def test_the_search_goes_where_the_objective_is_high() -> None:
    space = {"x": RealRange(0.0, 1.0), "list": Options(((1, 2), (3,)))}
    known: list[Trial] = []
    for _ in range(24):
        settings = workflow.propose(space, known, {"x": 0.0, "list": (3,)})
        known.append(Trial(settings, max(0.0, 1 - abs(settings["x"] - 0.7)) * (settings["list"] == (1, 2))))
    assert max(trial.objective for trial in known) > 0.95


def test_the_objective() -> None:
    assert workflow.objective(0.5, 0.5, 0.2) == pytest.approx(0.2)
    assert workflow.objective(0.0, float("nan"), 0.2) == 0
    assert workflow.objective(1.0, 1.0, 1.5) == 0


TUNED_METHODS = [name for name in METHODS.names() if not name.startswith("toy_")]


@pytest.mark.parametrize("name", TUNED_METHODS)
def test_the_search_spaces_of_the_shipped_methods(name: str) -> None:
    method = METHODS.load(name)
    space = method.search_space
    assert len(space) <= MOST
    defaults = METHODS.build(name).params
    for parameter, values in space.items():
        assert getattr(defaults, parameter) in values
        extremes = values.values if isinstance(values, Options) else (values.low, values.high)
        for extreme in extremes:
            METHODS.parameters(method, name, {parameter: extreme})
