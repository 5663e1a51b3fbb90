"""Runs into a directory that holds another version of the run, or another run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from tests.harness.test_cli import call
from tests.harness.toys import MEASURED, METRICS, ask, rewrite, run
from vcfe_bench.cli.progress import progress_display
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.method import Method
from vcfe_bench.results import leaderboard
from vcfe_bench.runs import setup
from vcfe_bench.runs.changes import Superseded
from vcfe_bench.runs.configuration import MethodIdentity
from vcfe_bench.runs.journal import Configured, Planned
from vcfe_bench.runs.plan import MicroBatch
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as workflow

METHODS = ("toy_push", "toy_half")


class Watch(Observer):
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.again: list[Superseded] = []

    def superseded(self, tasks: Superseded) -> None:
        self.again.append(tasks)

    def began(self, batch: MicroBatch) -> None:
        self.begun.append(batch.method.spec)


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change the code, the learned weights or the width of a method."""
    identity = setup.method_identity

    def change(spec: str, **parts: Any) -> None:
        def changed(method: Method) -> MethodIdentity:
            return replace(identity(method), **parts) if method.spec == spec else identity(method)

        monkeypatch.setattr(setup, "method_identity", changed)
        monkeypatch.setattr("vcfe_bench.runs.plan.method_identity", changed)

    return change


def again(out: Path, *methods: str, **rest: Any) -> tuple[pd.DataFrame, Watch]:
    watch = Watch()
    workflow.run(ask(*(methods or METHODS), **rest), out, METRICS, watch)
    return pd.read_parquet(out / "records.parquet"), watch


def test_changed_code_runs_again_and_nothing_else(tmp_path: Path, change: Callable[..., None]) -> None:
    out = tmp_path / "run"
    before = run(out, *METHODS)
    lines = len(RunDirectory(out).entries(Record))
    change("toy_push", source="other")
    after, watch = again(out)
    assert watch.again == [Superseded("toy_push", "code has changed", 8)]
    assert set(watch.begun) == {"toy_push"}
    same = before["method"] != "toy_push"
    columns = ["id", "seconds", "video_sha256", "change"]
    pd.testing.assert_frame_equal(before.loc[same, columns], after.loc[same, columns])
    assert len(after) == len(before)
    assert not set(before.loc[~same, "id"]) & set(after["id"])
    store = RunDirectory(out)
    assert len(store.entries(Record)) == lines + 8
    assert set(before["id"]) <= {record.id for record in store.entries(Record)}
    assert len(store.entries(Planned)) == 2
    assert [entry.configuration.methods["toy_push"].source == "other" for entry in store.entries(Configured)] == [
        False,
        True,
    ]
    assert json.loads((out / "run.json").read_text())["configuration"]["methods"]["toy_push"]["source"] == "other"
    board = leaderboard.load(out)
    assert board.missing == 0
    assert (board.frame["n"] == 8).all()
    assert (pd.read_parquet(out / "sets.parquet")["n"] == 8).all()
    assert leaderboard.join([out]).missing == 0


def test_values_of_superseded_results_are_not_shown(tmp_path: Path, change: Callable[..., None]) -> None:
    out = tmp_path / "run"
    run(out, *METHODS)
    before = pd.read_parquet(out / "sets.parquet")
    change("toy_push", source="other")
    workflow.run(ask(*METHODS), out, ("toy_flip",))
    after = pd.read_parquet(out / "sets.parquet")
    pd.testing.assert_frame_equal(after, before[before["method"] != "toy_push"].reset_index(drop=True))
    workflow.run(ask(*METHODS), out, METRICS)
    assert set(pd.read_parquet(out / "sets.parquet")["method"]) == set(before["method"])


def test_code_changed_back_runs_nothing(tmp_path: Path, change: Callable[..., None]) -> None:
    out = tmp_path / "run"
    before = run(out, *METHODS)
    change("toy_push", source="other")
    run(out, *METHODS)
    change("no_such_method")
    after, watch = again(out)
    assert watch.begun == []
    assert watch.again == []
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"fingerprint": "new"}, "learned weights have changed"),
        ({"source": "a", "fingerprint": "b"}, "code and learned weights have changed"),
    ],
)
def test_the_reason_is_given(tmp_path: Path, change: Callable[..., None], parts: dict[str, str], reason: str) -> None:
    run(tmp_path / "run", "toy_half", limit=2)
    change("toy_half", **parts)
    assert again(tmp_path / "run", "toy_half", limit=2)[1].again == [Superseded("toy_half", reason, 2)]


def test_one_line_for_each_method(tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    progress_display(console).superseded(Superseded("pgd", "code has changed", 8))
    progress_display(console).superseded(Superseded("pgd", "code has changed", 1))
    lines = ["pgd: code has changed, 8 tasks run again", "pgd: code has changed, 1 task runs again"]
    assert console.export_text().splitlines() == lines


def test_methods_can_be_added_and_left_out(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = run(out, "toy_push", limit=3)
    both, watch = again(out, *METHODS, limit=3)
    assert set(watch.begun) == {"toy_half"}
    assert watch.again == []
    kept = both[both["method"] != "toy_half"].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, kept[first.columns])
    half, watch = again(out, "toy_half", limit=3)
    assert watch.begun == []
    assert set(half["method"]) == {"toy_half", "true_edit", "reconstruction", "no_edit"}
    assert "toy_push" not in set(pd.read_parquet(out / "sets.parquet")["method"])
    assert "toy_push" not in set(leaderboard.load(out).frame["method"])


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"limit": 2}, "limit 3, not 2"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"goals": "all"}, "goals one, not all"),
        ({"split": "train"}, "split test, not train"),
        ({"dataset": "toy_lights[videos=20]"}, "dataset toy_lights, not toy_lights[videos=20]"),
        ({"target": "toy_conv[version=2]"}, "target toy_conv, not toy_conv[version=2]"),
        ({"generator": "none"}, "generator toy_blocks, not none"),
    ],
)
def test_another_question_is_refused_and_overwritten(tmp_path: Path, other: dict[str, Any], difference: str) -> None:
    out = tmp_path / "run"
    run(out, limit=3)
    (out / "notes.txt").write_text("mine")
    journal = (out / "journal.jsonl").read_text()
    with pytest.raises(UsageError) as error:
        run(out, **{"limit": 3, **other})
    assert str(error.value) == (
        f"{out} holds another run ({difference}); choose another --out, or start again with --overwrite"
    )
    assert (out / "journal.jsonl").read_text() == journal
    workflow.run(ask(**{"limit": 3, **other}), out, METRICS, overwrite=True)
    assert len(pd.read_parquet(out / "records.parquet")) == len(RunDirectory(out).entries(Record))
    assert (out / "notes.txt").read_text() == "mine"
    assert RunDirectory(out).configuration == setup.resolve(ask(**{"limit": 3, **other})).configuration()


def test_a_run_is_extended_by_more_videos(tmp_path: Path) -> None:
    few = run(tmp_path / "run", "toy_push", limit=3)
    more = run(tmp_path / "run", "toy_push", limit=7)
    whole = run(tmp_path / "whole", "toy_push", limit=7)
    assert set(few["id"]) < set(more["id"])
    pd.testing.assert_frame_equal(more.drop(columns=MEASURED), whole.drop(columns=MEASURED))
    extended, made = (leaderboard.load(tmp_path / name).frame for name in ("run", "whole"))
    costs = [name for name in made if name.startswith(("seconds", "peak_memory"))]
    pd.testing.assert_frame_equal(extended.drop(columns=costs), made.drop(columns=costs))
    assert extended["n"].tolist() == [7] * 4


def test_a_run_of_the_first_videos_of_the_split_is_another_run(tmp_path: Path) -> None:
    run(tmp_path / "run", limit=2)
    rewrite(tmp_path / "run" / "run.json", lambda former: former["configuration"].pop("choice"))
    with pytest.raises(UsageError, match=r"holds another run \(choice first, not stratified\)"):
        run(tmp_path / "run", limit=2)


def test_overwriting_touches_only_runs_that_nobody_uses(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "holiday.mp4").touch()
    with pytest.raises(UsageError, match="is not empty and not a run; choose another --out"):
        workflow.run(ask(), tmp_path, METRICS, overwrite=True)
    assert (tmp_path / "videos" / "holiday.mp4").exists()
    run(tmp_path / "run", limit=1)
    store = RunDirectory(tmp_path / "run")
    store.lock()
    try:
        with pytest.raises(UsageError, match="is in use by another process"):
            workflow.run(ask(limit=2), tmp_path / "run", METRICS, overwrite=True)
    finally:
        store.close()
    assert len(RunDirectory(tmp_path / "run").records()) == 4


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    command = ["run", "--methods", "toy_half", "--dataset", "toy_lights", "--metrics", "toy_flip"]
    command += ["--out", str(tmp_path / "run")]
    assert call(monkeypatch, *command, "--limit", "2") == 0
    assert call(monkeypatch, *command, "--limit", "1") == 2
    assert "start again with --overwrite" in capsys.readouterr().err
    assert call(monkeypatch, *command, "--limit", "1", "--overwrite") == 0
    assert RunDirectory(tmp_path / "run").configuration.limit == 1


def test_the_default_directory_depends_on_what_is_requested_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    monkeypatch.chdir(tmp_path)
    first = workflow.run(ask("toy_half", limit=1), None, METRICS)
    change("toy_half", source="other")
    assert workflow.run(ask("toy_half", limit=1), None, METRICS) == first
    assert workflow.run(ask("toy_push", limit=1), None, METRICS) != first
