"""Results carry the version of the rules that they were made by; those of two versions never stand in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.harness.test_cli import call
from tests.harness.toys import ask, rewrite, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.report.summary import provenance
from vcfe_bench.results import leaderboard
from vcfe_bench.results.gate import files
from vcfe_bench.runs.configuration import OLDEST_PROTOCOL, PROTOCOL, Configuration
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as workflow


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run(out := tmp_path_factory.mktemp("runs") / "new", "toy_push", limit=2)
    return out


@pytest.fixture(scope="module")
def old(new: Path) -> Path:
    """The same run as an earlier version wrote it."""
    out = Path(shutil.copytree(new, new.with_name("old")))
    rewrite(out / "run.json", lambda run: run["configuration"].pop("protocol"))
    return out


def test_runs_and_committed_tables_name_the_protocol(
    new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads((new / "run.json").read_text())["configuration"]["protocol"] == PROTOCOL
    assert call(monkeypatch, "check", str(new), "--against", str(tmp_path / "x.csv"), "--update") == 0
    assert json.loads((tmp_path / "x.json").read_text())["configuration"]["protocol"] == PROTOCOL
    assert dict(provenance(RunDirectory(new), "run.json").facts)["protocol"] == str(PROTOCOL)


def test_results_without_one_are_of_the_oldest_and_are_still_shown(new: Path, old: Path, tmp_path: Path) -> None:
    store = RunDirectory(old)
    assert store.configuration.protocol == OLDEST_PROTOCOL < PROTOCOL
    assert "protocol" not in store.configuration.write(), "its hash stays that of an earlier version"
    assert leaderboard.load(old).frame.equals(leaderboard.load(new).frame)
    assert len(leaderboard.join([old, old]).frame) == len(leaderboard.load(old).frame)
    assert dict(provenance(store, "run.json").facts)["protocol"] == str(OLDEST_PROTOCOL)
    files.write(files.read(old), tmp_path / "old.csv")
    assert files.read(tmp_path / "old.csv").about.configuration.protocol == OLDEST_PROTOCOL


@pytest.mark.parametrize(
    "command", ["leaderboard {new} {old}", "leaderboard {old} {new}", "curves {new} {old} --out nowhere.csv"]
)
def test_one_table_has_one_protocol(
    new: Path, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert call(monkeypatch, *command.format(new=new, old=old).split()) == 2
    error = capsys.readouterr().err
    assert f"{old} was made by protocol 1, {new} by protocol {PROTOCOL}" in error
    assert f"run the command that made {old} again" in error
    assert error.count("\n") == 1


def test_runs_of_one_protocol_are_compared_with_tables_of_it(
    new: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "old.csv"
    files.write(files.read(old), table)
    for baseline in (table, old):
        assert call(monkeypatch, "check", str(new), "--against", str(baseline)) == 2
        error = capsys.readouterr().err
        assert f"the baseline was made by protocol 1, the run by protocol {PROTOCOL}" in error
        assert error.count("\n") == 1
    assert call(monkeypatch, "check", str(old), "--against", str(table)) == 0


def test_a_run_of_another_protocol_is_not_continued(old: Path) -> None:
    with pytest.raises(UsageError, match=f"holds another run \\(protocol 1, not {PROTOCOL}\\); choose another --out"):
        workflow.run(ask("toy_push", limit=2), old)


def test_shards_are_of_one_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [str(tmp_path / f"part-{index}") for index in (1, 2)]
    for index, part in enumerate(parts, 1):
        options = ["--methods", "toy_push", "--dataset", "toy_lights", "--limit", "2", "--metrics", "toy_flip"]
        assert call(monkeypatch, "run", *options, "--shard", f"{index}/2", "--out", part) == 0
    rewrite(Path(parts[0], "run.json"), lambda run: run["configuration"].pop("protocol"))
    capsys.readouterr()
    assert call(monkeypatch, "merge", *parts, "--out", str(tmp_path / "whole")) == 2
    assert f"{parts[0]} was made by protocol 1, {parts[1]} by protocol {PROTOCOL}" in capsys.readouterr().err


def test_a_later_protocol_is_read_and_kept() -> None:
    content = json.loads(json.dumps(Configuration.read(_content(PROTOCOL + 1)).write()))
    assert content["protocol"] == PROTOCOL + 1


def _content(protocol: int) -> dict[str, object]:
    network = {"spec": "net", "fingerprint": "x"}
    fields = {"dataset": "videos", "split": "test", "limit": 1, "goals": "one", "classes": ["a"], "seed": 0}
    return {**fields, "methods": {}, "target": network, "generator": None, "threads": 1, "protocol": protocol}
