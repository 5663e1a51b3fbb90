"""Hooks, which follow a run."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.harness.toys import METRICS
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.setup import Request
from vcfe_bench.workflows import hooks
from vcfe_bench.workflows import run as workflow
from vcfe_bench.workflows.hooks import Hook, Hooked


class Follower(Hook):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_run_start(self, path, configuration) -> None:
        self.events.append(f"start {configuration.dataset}")

    def on_record(self, record) -> None:
        self.events.append(f"record {record.method}")

    def on_scores(self, board) -> None:
        self.events.append(f"scores {len(board.frame)}")

    def on_run_end(self, path, error) -> None:
        self.events.append(f"end {type(error).__name__}")


class Faulty(Hook):
    def on_record(self, record) -> None:
        raise RuntimeError("no network")


class Listening(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, text: str) -> None:
        self.warnings.append(text)


def run(out: Path, *followers: Hook) -> list[str]:
    listening = Listening()
    request = Request(("toy_half",), "toy_lights", limit=3)
    workflow.run(request, out, METRICS, Hooked(listening, followers), executor=InProcess())
    return listening.warnings


def test_hooks_follow_a_run_and_one_that_fails_does_not_stop_it(tmp_path: Path) -> None:
    follower = Follower()
    warnings = run(tmp_path / "run", Faulty(), follower)
    assert follower.events[0] == "start toy_lights"
    assert Counter(follower.events[1:-2])["record toy_half"] == 3
    assert follower.events[-2:] == ["scores 4", "end NoneType"]
    told = [text for text in warnings if "Faulty" in text]
    assert told == ["hook Faulty failed in on_record and is not called again: RuntimeError: no network"]


def test_unknown_hooks_are_told() -> None:
    with pytest.raises(UsageError, match="unknown hook 'mlfow'; did you mean 'mlflow'"):
        hooks.load(["mlfow"])


def test_mlflow_gets_parameters_metrics_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/store.db")
    mlflow.create_experiment("videos", (tmp_path / "artefacts").as_uri())
    mlflow.set_experiment("videos")
    run(tmp_path / "run", *hooks.load(["mlflow"]))
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.status == "FINISHED"
    assert found.data.params["dataset"] == "toy_lights"
    frame = leaderboard.load(tmp_path / "run").frame.set_index("method")
    assert found.data.metrics["toy_half/toy_FR"] == pytest.approx(frame.loc["toy_half", "toy_FR"])
    assert found.data.metrics["toy_half/results"] == 3
    names = {file.path for file in mlflow.tracking.MlflowClient().list_artifacts(found.info.run_id)}
    assert names == {"leaderboard.csv", "run.json"}


def test_the_hook_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the page with a stand-in for the client of Weights & Biases, which needs an account."""
    page = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "wandb" in block)
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 20
    logged: list[dict] = []
    client = SimpleNamespace(log=logged.append, finish=lambda exit_code: logged.append({"exit": exit_code}))
    module = SimpleNamespace(init=lambda **settings: client, Table=lambda dataframe: dataframe)
    monkeypatch.setitem(sys.modules, "wandb", module)
    names: dict = {}
    exec(code, names)
    run(tmp_path / "run", names["WandbHook"]())
    assert any("toy_half/seconds" in entry for entry in logged)
    assert len(logged[-2]["leaderboard"]) == 4
    assert logged[-1] == {"exit": 0}
