"""Counterfactuals that another program made."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.harness.test_cli import call
from tests.harness.toys import METRICS, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless
from vcfe_bench.workflows import run as runner
from vcfe_bench.workflows import score_external as external
from vcfe_bench.workflows.score_external import Given

CLASSES = ("left", "middle", "right")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("source") / "run"
    run(out, "toy_push", limit=5)
    return out


@pytest.fixture
def given(source: Path, tmp_path: Path) -> Given:
    """The counterfactuals of ``toy_push``, as files of another program."""
    store, records = RunDirectory(source), pd.read_parquet(source / "records.parquet")
    push = records[records["method"] == "toy_push"]
    for folder in ("originals", "theirs"):
        (tmp_path / folder).mkdir()
    lines = ["name,goal"]
    for row in push.itertuples():
        name = str(row.sample).replace("light-", "clip ")
        lossless.write(tmp_path / "originals" / f"{name}.mkv", store.video(str(row.original)), 10)
        lossless.write(tmp_path / "theirs" / f"{name}.avi", store.video(str(row.video)), 10)
        lines.append(f"{name},{CLASSES[int(str(row.goal)[-1])]}")
    (tmp_path / "goals.csv").write_text("\n".join(lines))
    return Given(tmp_path / "originals", tmp_path / "theirs", tmp_path / "goals.csv", "toy_lights", "theirs")


def test_the_row_is_that_of_the_method_that_made_the_videos(given: Given, source: Path, tmp_path: Path) -> None:
    out = external.score(given, tmp_path / "out", METRICS)
    theirs, ours = (pd.read_csv(path / "leaderboard.csv").set_index("method") for path in (out, source))
    assert theirs.index.tolist() == ["theirs", "true_edit", "reconstruction", "no_edit"]
    compared = ["n", "failed", "toy_FR", "change", "change_n", "spread(mean)", "spread(mean)_floor"]
    pd.testing.assert_series_equal(
        theirs.loc["theirs", compared], ours.loc["toy_push", compared], check_names=False, check_exact=False
    )
    pd.testing.assert_frame_equal(
        theirs.loc[["true_edit", "no_edit"], compared], ours.loc[["true_edit", "no_edit"], compared]
    )
    assert math.isnan(theirs.loc["theirs", "seconds"])


@pytest.mark.parametrize("form", ["png", "bmp", "tif", "npy", "npy, float, channels first"])
def test_videos_are_folders_of_pictures_or_arrays(given: Given, tmp_path: Path, form: str) -> None:
    expected = pd.read_parquet(external.score(given, tmp_path / "files", METRICS) / "records.parquet")
    folders = []
    for folder in (given.originals, given.counterfactuals):
        folders.append(tmp_path / f"{folder.name} as {form}")
        folders[-1].mkdir()
        for file in folder.iterdir():
            pixels = lossless.read(file)
            if form.startswith("npy"):
                frames = pixels.permute(0, 2, 3, 1).numpy()
                array = pixels.numpy().astype(np.float32) / 255 if "float" in form else frames
                np.save(folders[-1] / f"{file.stem}.npy", array)
                continue
            (folders[-1] / file.stem).mkdir()
            for number, frame in enumerate(pixels.permute(0, 2, 3, 1).numpy(), start=8):
                Image.fromarray(frame).save(folders[-1] / file.stem / f"frame{number}.{form}")
    converted = dataclasses.replace(given, originals=folders[0], counterfactuals=folders[1])
    records = pd.read_parquet(external.score(converted, tmp_path / "out", METRICS) / "records.parquet")
    columns = ["sample", "goal", "method", "status", "video_sha256"]
    pd.testing.assert_frame_equal(records[columns], expected[columns])


def test_folders_that_are_no_videos_and_doubtful_order(given: Given, tmp_path: Path) -> None:
    first = lossless.read(next(iter(sorted(given.counterfactuals.iterdir())))).permute(0, 2, 3, 1).numpy()
    folder = tmp_path / "pictures" / "clip 0"
    folder.mkdir(parents=True)
    for number, frame in zip((1, 2, 3, 4, 9), first, strict=True):
        Image.fromarray(frame).save(folder / f"{number}.png")
    with pytest.raises(UsageError, match="has pictures in it: put those of each video into a folder of their own"):
        external.score(dataclasses.replace(given, counterfactuals=folder), tmp_path / "out", ("toy_flip",))
    with pytest.warns(UserWarning, match="gaps in the numbers of the frames: 4 are missing"):
        external.score(dataclasses.replace(given, counterfactuals=folder.parent), tmp_path / "out", ("toy_flip",))
    (folder.parent / "clip 1").mkdir()
    with pytest.raises(UsageError, match="clip 1 is not a video: the folder contains no pictures"):
        external.score(dataclasses.replace(given, counterfactuals=folder.parent), tmp_path / "out", ("toy_flip",))


def test_the_target_is_checked_first(given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vcfe_toys.models import Conv

    forward = Conv.forward
    monkeypatch.setattr(Conv, "forward", lambda self, video: forward(self, video).softmax(1))
    with pytest.raises(UsageError, match="look like probabilities"):
        external.score(given, tmp_path / "out", ("toy_flip",))
    assert not (tmp_path / "out").exists()
    with pytest.warns(UserWarning, match="look like probabilities"):
        external.score(given, tmp_path / "out", ("toy_flip",), force=True)


def test_it_is_an_ordinary_run(given: Given, source: Path, tmp_path: Path) -> None:
    out = external.score(given, tmp_path / "out", METRICS)
    before = pd.read_parquet(out / "records.parquet")
    records = RunDirectory(out).entries(Record)
    external.score(given, tmp_path / "out", METRICS)
    assert repr(RunDirectory(out).entries(Record)) == repr(records), "nothing is done twice"
    runner.rescore(out, METRICS)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "records.parquet"), before)
    frame = leaderboard.join([source, out]).frame
    assert frame.set_index("method").loc[["toy_push", "theirs"], "change_group"].tolist() == ["?", "?"], (
        "too few videos"
    )


def test_other_videos_supersede_the_former(given: Given, tmp_path: Path) -> None:
    out = external.score(given, tmp_path / "out", ("toy_flip",))
    before = pd.read_parquet(out / "records.parquet")
    files = sorted(given.counterfactuals.iterdir())
    shutil.copy(files[0], files[1])
    external.score(given, tmp_path / "out", ("toy_flip",))
    after = pd.read_parquet(out / "records.parquet")
    theirs = after["method"] == "theirs"
    assert (after["id"] != before["id"]).tolist() == theirs.tolist()
    changed = after.loc[theirs, "video_sha256"].to_numpy() != before.loc[theirs, "video_sha256"].to_numpy()
    assert changed.sum() == 1


def test_other_originals_are_another_run(given: Given, tmp_path: Path) -> None:
    out = external.score(given, tmp_path / "out", ("toy_flip",))
    for folder in (given.originals, given.counterfactuals):
        sorted(folder.iterdir())[0].unlink()
    head, _, *rest = given.goals.read_text().splitlines()
    given.goals.write_text("\n".join([head, *rest]))
    with pytest.raises(UsageError) as error:
        external.score(given, out, ("toy_flip",))
    assert str(error.value) == f"{out} holds another run (limit 5, not 4); choose another --out"


def test_missing_and_misshapen_counterfactuals_are_failures(given: Given, tmp_path: Path) -> None:
    files = sorted(given.counterfactuals.iterdir())
    files[0].unlink()
    lossless.write(files[1], torch.zeros(4, 3, 12, 12, dtype=torch.uint8), 10)
    files[2].write_text("no video")
    out = external.score(given, tmp_path / "out", ("toy_flip",))
    records = pd.read_parquet(out / "records.parquet").query("method == 'theirs'")
    failed = records[records["status"] == "failed"].sort_values("sample")["reason"].tolist()
    assert failed[0] == "FileNotFoundError: no counterfactual was given"
    assert failed[1].startswith("returned a video of shape (4, 3, 12, 12), expected (5, 3, 12, 12)")
    assert "clip 2.avi cannot be read as a video" in failed[2]
    assert (records["status"] == "ok").sum() == 2


@pytest.mark.parametrize("text", ["class=2", "right"])
def test_goals_are_class_names_or_goals_as_text(given: Given, tmp_path: Path, text: str) -> None:
    for folder in (given.originals, given.counterfactuals):
        next(folder.glob("clip 2.*")).unlink()  # its prediction is class 2 already
    names = [file.stem for file in sorted(given.originals.iterdir())]
    given.goals.write_text("\n".join(["name,goal", *(f"{name},{text}" for name in names)]))
    out = external.score(given, tmp_path / "out", ("toy_flip",))
    assert set(pd.read_parquet(out / "records.parquet")["goal"]) == {"class=2"}


@pytest.mark.parametrize(
    ("goal", "problem"),
    [
        ("right", "already meets the goal of light-2"),
        ("class=99", "a class that the target does not have"),
        ("avoid=-1", "a class that the target does not have"),
        ("confidence=1:2", "not between 0 and 1"),
        ("value=nan±nan", "the target predicts classes"),
    ],
)
def test_goals_that_say_nothing_about_the_video_are_refused(
    given: Given, tmp_path: Path, goal: str, problem: str
) -> None:
    names = [file.stem for file in sorted(given.originals.iterdir())]
    given.goals.write_text("\n".join(["name,goal", *(f"{name},{goal}" for name in names)]), encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        external.score(given, tmp_path / "out", ("toy_flip",))


def test_goals_as_a_spreadsheet_writes_them(given: Given, tmp_path: Path) -> None:
    """A byte order mark, semicolons, empty cells at the end of lines, capitals in the header."""
    lines = given.goals.read_text().replace(",", ";").splitlines()
    text = "\r\n".join(["Name;Goal;", *(f"{line};" for line in lines[1:])])
    given.goals.write_text(text, encoding="utf-8-sig")
    external.score(given, tmp_path / "out", METRICS)
    records = pd.read_parquet(tmp_path / "out" / "records.parquet")
    assert (records.loc[records["method"] == "theirs", "status"] == "ok").sum() == len(lines) - 1


def test_a_counterfactual_that_was_cut_off_is_a_failure(given: Given, tmp_path: Path) -> None:
    file = next(given.counterfactuals.iterdir())
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    external.score(given, tmp_path / "out", METRICS)
    records = pd.read_parquet(tmp_path / "out" / "records.parquet").set_index("method").loc["theirs"]
    failed = records[records["status"] == "failed"]
    assert len(failed) == 1
    assert "cannot be read as a video" in failed["reason"].iloc[0]


def test_goals_are_values_if_labels_are_values(tmp_path: Path) -> None:
    run(tmp_path / "run", "toy_push", dataset="toy_dimmer", limit=2)
    store = RunDirectory(tmp_path / "run")
    for folder, column in (("originals", "original"), ("theirs", "video")):
        (tmp_path / folder).mkdir()
        records = pd.read_parquet(tmp_path / "run" / "records.parquet").query("method == 'toy_push'")
        for row in records.to_dict("records"):
            lossless.write(tmp_path / folder / f"{row['sample']}.mkv", store.video(row[column]), 10)
    first, second = records["sample"]
    (tmp_path / "goals.csv").write_text(f"name,goal\n{first},50\n{second},value=60±2")
    goals_given = Given(tmp_path / "originals", tmp_path / "theirs", tmp_path / "goals.csv", "toy_dimmer", "theirs")
    out = external.score(goals_given, tmp_path / "out", ("toy_flip",))
    assert set(pd.read_parquet(out / "records.parquet")["goal"]) == {"value=50±5", "value=60±2"}


def drop_goal(given: Given) -> None:
    given.goals.write_text("\n".join(given.goals.read_text().splitlines()[:-1]))


def add(text: str) -> Callable[[Given], None]:
    return lambda given: given.goals.write_text(f"{given.goals.read_text()}\n{text}")


def alter(given: Given) -> None:
    file = sorted(given.originals.iterdir())[3]
    lossless.write(file, lossless.read(file) // 2, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_goal, r"no goal in .*goals.csv for the originals clip \d"),
        (add("clip 9,left"), r"no original in .*originals for the goals of clip 9"),
        (add("clip 0,left"), r"goals.csv has two goals for clip 0"),
        (add("clip 9,lft"), r"'lft' in .*goals.csv is not a goal; did you mean 'left'"),
        (lambda given: given.goals.write_text("a,b"), "is not a csv file with the columns name and goal"),
        (lambda given: given.goals.unlink(), "is not a csv file with the columns name and goal"),
        (lambda given: (given.counterfactuals / "clip 9.mkv").touch(), "for the counterfactuals clip 9"),
        (
            lambda given: (given.originals / "clip 1.mp4").touch(),
            "has two videos called clip 1: clip 1.mkv and clip 1.mp4",
        ),
        (alter, "clip 3 do not equal any video of the test split of 'toy_lights' in every pixel"),
        (lambda given: shutil.rmtree(given.counterfactuals), "cannot read .*theirs: No such file"),
    ],
)
def test_files_that_do_not_match_are_reported(
    given: Given, tmp_path: Path, change: Callable[[Given], object], message: str
) -> None:
    change(given)
    with pytest.raises(UsageError, match=message):
        external.score(given, tmp_path / "out", ("toy_flip",))
    assert not (tmp_path / "out").exists()


def test_the_command(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--originals", str(given.originals), "--counterfactuals", str(given.counterfactuals)]
    arguments += ["--goals", str(given.goals), "--dataset", "toy_lights", "--metrics", "toy_flip"]
    assert call(monkeypatch, "score", *arguments, "--out", str(tmp_path / "out"), "--method", "x[version=2]") == 0
    assert "x[version=2]" in capsys.readouterr().out
    assert call(monkeypatch, "score", *arguments) == 2
    assert "Missing option '--out'" in capsys.readouterr().err
