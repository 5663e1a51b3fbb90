"""Originals and goals for another program, and back: export, counterfactuals made elsewhere, score, table."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.harness.test_cli import call
from tests.harness.toys import METRICS, ask, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless
from vcfe_bench.workflows import export_dataset as workflow
from vcfe_bench.workflows import score_external
from vcfe_bench.workflows.score_external import Given


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def frames(path: Path) -> np.ndarray:
    """uint8 ``[T, H, W, 3]`` of an exported video, read without the package where it is not a video file."""
    if path.is_dir():
        return np.stack([np.asarray(Image.open(file)) for file in sorted(path.iterdir())])
    if path.suffix == ".npy":
        return np.load(path)
    return lossless.read(path).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("form", workflow.FORMS)
def test_outputs_made_elsewhere_come_back_as_a_row(form: str, tmp_path: Path) -> None:
    written = workflow.export(ask(limit=3), tmp_path / "exported", form)
    (theirs := tmp_path / "theirs").mkdir()
    for number, original in enumerate(sorted(written.originals.iterdir())):
        brighter = frames(original) // 2 + 60 + 20 * number
        np.save(theirs / f"{original.name if original.is_dir() else original.stem}.npy", brighter)
    made = Given(written.originals, theirs, written.goals, "toy_lights", "theirs")
    out = score_external.score(made, tmp_path / "out", METRICS, references=False)
    frame = leaderboard.load(out).frame.set_index("method")
    assert frame.index.tolist() == ["theirs"]
    assert frame[["n", "answered"]].to_numpy().tolist() == [[3, 3]]
    assert frame[["seconds", "calls"]].isna().to_numpy().all()


def test_the_videos_and_goals_are_those_of_run(tmp_path: Path) -> None:
    written = workflow.export(ask(limit=5, seed=3), tmp_path / "exported")
    run(tmp_path / "run", "toy_push", limit=5, seed=3)
    store, records = RunDirectory(tmp_path / "run"), pd.read_parquet(tmp_path / "run" / "records.parquet")
    asked = {row["sample"]: row for row in records[records["method"] == "toy_push"].to_dict("records")}
    lines = table(written.goals)
    assert [line["name"] for line in lines] == list(asked)
    for line in lines:
        record = asked[line["name"]]
        names = store.configuration.classes
        assert line["goal"] == names[int(record["goal"].removeprefix("class="))]
        assert line["prediction"] == names[int(record["prediction"])]
        exported = lossless.read(written.originals / f"{line['name']}.mkv")
        assert exported.equal(store.video(record["original"]))


@pytest.mark.parametrize("goals", ["one", "uniform", "42.5"])
def test_values_are_goals_of_a_regressor(goals: str, tmp_path: Path) -> None:
    request = ask(dataset="toy_dimmer", limit=2, goals=goals)
    written = workflow.export(request, tmp_path / "exported")
    run(tmp_path / "run", "toy_push", dataset="toy_dimmer", limit=2, goals=goals)
    asked = set(pd.read_parquet(tmp_path / "run" / "records.parquet")["goal"])
    made = Given(written.originals, written.originals, written.goals, "toy_dimmer", "same")
    out = score_external.score(made, tmp_path / "out", ("toy_flip",), references=False)
    assert set(pd.read_parquet(out / "records.parquet")["goal"]) == asked
    assert all(float(line["prediction"]) for line in table(written.goals))


def test_the_command_names_the_command_that_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--split", "validation", "--limit", "2", "--format", "npy", "--out", "some folder"]
    assert call(monkeypatch, "dataset", "export", "toy_lights", *arguments) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("wrote 2 videos to some folder/originals")
    (tmp_path / "YOURS").symlink_to(tmp_path / "some folder" / "originals")
    score = shlex.split(last)[1:]
    assert call(monkeypatch, *score, "--metrics", "toy_flip", "--no-references", "--method", "x") == 0
    shown = capsys.readouterr().out
    assert "goal right not met\n" in shown, "neither the number of a class nor unknown seconds"
    (row,) = re.findall(r"^x +(.*)$", shown, re.MULTILINE)
    assert row.split() == ["0.00", "–", "–"]
    assert "no_edit" not in shown


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"goals": "all"}, "--goals all requests several goals for a video, and score takes one"),
        ({"goals": "sideways"}, "--goals must be one, all"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"split": "tset"}, "unknown split 'tset'; did you mean 'test'"),
    ],
)
def test_what_cannot_be_exported_is_refused(rest: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        workflow.export(ask(**rest), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "mine.txt").touch()
    for out in (tmp_path / "exported", tmp_path / "exported" / "mine.txt"):
        with pytest.raises(UsageError, match="is not an empty folder; choose another --out"):
            workflow.export(ask(), out)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), unique=True, max_size=6))
def test_names_are_files_everywhere_and_all_different(samples: list[str]) -> None:
    names = list(workflow._names(samples))
    assert len({name.casefold() for name in names}) == len(samples)
    for name in names:
        assert name == name.strip(". ")
        assert name
        assert not workflow.UNSAFE.search(name)
    plain = [sample for sample in samples if sample.isalnum() and sample.isascii()]
    assert {name for sample, name in zip(samples, names, strict=True) if sample in plain} <= {*names}
