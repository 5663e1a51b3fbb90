"""The command line with raw files: ``dataset check``, and from a local copy to a leaderboard."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.datasets.local import replicas
from tests.harness.test_cli import call
from vcfe_bench.models.c3d_resnet import C3DConfig
from vcfe_datasets.recorded.mead import MEAD
from vcfe_datasets.recorded.ucf101_24 import MOVEMENTS, UCF101_24


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_check_counts_and_names_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = replicas.ferv39k(tmp_path)
    (root / "2_ClipsforFaceCrop" / "Daily" / "Happy" / "0003.mp4").write_bytes(b"")
    lists = root / "4_setups" / "All_scenes" / "train_All.csv"
    lists.write_text(lists.read_text() + "".join(f"Action/Happy/gone{number} Happy\n" for number in range(12)))
    assert call(monkeypatch, "dataset", "check", "ferv39k[frames=4,size=16]", "--root", str(root)) == 0
    shown = capsys.readouterr().out
    assert "3 usable videos" in shown
    for row in (
        ["class", "train", "validation", "test"],
        ["Happy", "1", "0", "0"],
        ["Fear", "0", "1", "0"],
        ["Sad", "0", "0", "1"],
        ["all", "1", "1", "1"],
    ):
        assert row in words(shown)
    assert "train: Action/Happy/gone0: cannot be read: No such file or directory" in shown
    assert len(re.findall("cannot be read", shown)) == 10
    assert "and 3 more problems" in shown


def test_check_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VCFE_DATA", str(tmp_path))
    replicas.echonet_dynamic(tmp_path / "echonet_dynamic")
    assert call(monkeypatch, "dataset", "check", "echonet_dynamic[frames=4]") == 0
    shown = capsys.readouterr().out
    assert "echonet_dynamic[frames=4]: 4 usable videos" in shown
    assert ["train", "2", "35.25", "48.38", "61.5"] in words(shown)
    assert ["test", "1", "70", "70", "70"] in words(shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mead"], "mead: no root is given; copies are available from https://wywu.github.io/projects/MEAD/MEAD.html;"),
        (["mead", "--root", "gone"], "mead: gone does not exist;"),
        (["shape_moving"], "dataset 'shape_moving' is not read from a local copy, so there is nothing to check"),
        (["video_folder"], "video_folder: no root is given; expected files: <class>/<video>.mp4, or"),
    ],
)
def test_check_without_a_copy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "dataset", "check", *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"vcfe-bench: {message}")
    assert errors.count("\n") == 1


def test_a_run_without_a_copy_reports_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = ["run", "--methods", "pgd", "--dataset", "echonet_dynamic", "--target", "toy_meter", "--metrics", "l1"]
    assert call(monkeypatch, *run) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("vcfe-bench: echonet_dynamic: no root is given;")
    assert errors.count("\n") == 1


def save_classifier(path: Path, classes: tuple[str, ...], predicts: int | None = None) -> None:
    """A small C3D-ResNet with random weights; if ``predicts`` is a class, it predicts that class for every video."""
    torch.manual_seed(0)
    config = C3DConfig("small", 1, (9, 32, 32), classes)
    model = config.network()
    if predicts is not None:
        model.head[0].bias.data[predicts] += 20
    config.write(model, path)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mead", "echonet_dynamic"])
def test_from_raw_files_to_a_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dataset: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCFE_DATA", str(tmp_path))
    if dataset == "mead":
        replicas.mead(tmp_path / "mead")
        save_classifier(tmp_path / "random.safetensors", MEAD.classes)
        spec, target = "mead[frames=9,size=32,split=people]", "c3d_resnet[weights=random.safetensors]"
    else:
        parts = {"0X1": ("TEST", 40.0), "0X2": ("TEST", 60.0)}
        replicas.echonet_dynamic(tmp_path / "echonet_dynamic", parts)
        spec, target = "echonet_dynamic[frames=8,size=32]", "toy_meter"
    arguments = ["--dataset", spec, "--target", target, "--limit", "2", "--metrics", "fr,l1", "--out", "run"]
    assert call(monkeypatch, "run", "--methods", "pgd,no_edit", *arguments) == 0
    assert "pgd" in capsys.readouterr().out
    board = pd.read_csv("run/leaderboard.csv").set_index("method")
    assert (board.loc[["pgd", "no_edit"], "n"] == 2).all()
    assert (board.loc[["pgd", "no_edit"], "failed"] == 0).all()
    assert board.loc["no_edit", "L1"] == 0 < board.loc["pgd", "L1"]


@pytest.mark.slow
def test_boxes_of_raw_files_reach_the_metrics_of_tubes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = replicas.ucf101_24(tmp_path / "copy")
    save_classifier(tmp_path / "surfing.safetensors", UCF101_24.classes, predicts=UCF101_24.classes.index("Surfing"))
    spec = f"ucf101_24[root={root},size=32]"
    target = "c3d_resnet[weights=surfing.safetensors]"
    arguments = ["--dataset", spec, "--target", target, "--metrics", "concept_top5", "--out", "run"]
    every = len(UCF101_24.attributes)
    assert call(monkeypatch, "run", "--methods", f"tubes_center[pairs={every}]", *arguments) == 0
    records = pd.read_parquet("run/records.parquet").set_index("method")
    present = len(MOVEMENTS["Surfing"])
    assert records.loc[f"tubes_center[pairs={every}]", "concept@5"] == pytest.approx(present / every)
