"""``vcfe-bench explain``, and the options that describe a user's own classifier."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.harness.test_cli import call
from vcfe_bench.cli.target import target_spec
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.registry import TARGETS
from vcfe_bench.video import lossless

THIRDS = """
import torch


class Thirds(torch.nn.Module):
    def forward(self, clip):
        return 20 * clip.mean(dim=(1, 2)).mean(dim=1).unflatten(1, (3, 4)).mean(dim=2)
"""
FLAGS = ["--target", "own_thirds:Thirds", "--classes", "labels.txt", "--clip", "5x12", "--mean", "0", "--std", "1"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network, its labels, and a video, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    Path("own_thirds.py").write_text(THIRDS)
    Path("labels.txt").write_text("left\nmiddle\nright\n")
    pixels = torch.randint(0, 100, (9, 3, 12, 16), generator=torch.Generator().manual_seed(0))
    pixels[..., 2:6] += 40
    lossless.write(Path("clip.mkv"), pixels.byte(), 8)


def test_a_users_own_network_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    method = ["--method", "toy_push[rate=60,steps=8]"]
    assert call(monkeypatch, "explain", "clip.mkv", *FLAGS, *method, "--to", "right", "--out", "out") == 0
    printed = capsys.readouterr().out
    before, after = printed.split("prediction for the counterfactual")
    assert before.splitlines()[0].strip() == "prediction for the original"
    assert before.splitlines()[1].split()[0] == "left"
    assert after.splitlines()[1].split()[0] == "right"
    assert "goal right: met" in after
    assert "folder: out" in after
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["met"]
    assert scores["target"].startswith("module[build=own_thirds:Thirds,classes=labels.txt,frames=5,")
    assert call(monkeypatch, "explain", "clip.mkv", *FLAGS, *method, "--to", "rigth", "--out", "out") == 2
    assert capsys.readouterr().err == "vcfe-bench: the target has no class 'rigth'; did you mean 'right'?\n"


def test_run_and_score_take_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    common = ["--dataset", "toy_lights", "--metrics", "toy_flip", *FLAGS]
    assert call(monkeypatch, "run", "--methods", "toy_push", "--limit", "2", "--out", "ours", *common) == 0
    records = pd.read_parquet("ours/records.parquet")
    push = records[records["method"] == "toy_push"]
    for folder, column in (("originals", "original"), ("theirs", "video")):
        Path(folder).mkdir()
        for _, row in push.iterrows():
            pixels = lossless.read(Path(f"ours/videos/{row[column]}.mkv"))
            lossless.write(Path(folder, f"{row['sample']}.mkv"), pixels, 9)
    push[["sample", "goal"]].rename(columns={"sample": "name"}).to_csv("goals.csv", index=False)
    given = ["--originals", "originals", "--counterfactuals", "theirs", "--goals", "goals.csv", "--out", "scored"]
    assert call(monkeypatch, "score", *given, *common) == 0
    scored = pd.read_parquet("scored/records.parquet").set_index(["method", "sample"])
    for _, row in push.iterrows():
        assert scored.loc[("theirs", row["sample"]), "after"].tolist() == row["after"].tolist()


def test_options_become_parameters_of_the_target() -> None:
    spec = target_spec("my_pkg.models:build", "x.safetensors", "labels.txt", "16x112", "0.45", "0.2,0.3,0.4")
    assert spec is not None
    assert specs.parse(spec) == (
        "module",
        {
            "build": "my_pkg.models:build",
            "weights": "x.safetensors",
            "classes": "labels.txt",
            "frames": "16",
            "size": "112",
            "mean": ("0.45", "0.45", "0.45"),
            "std": ("0.2", "0.3", "0.4"),
        },
    )
    assert target_spec("toy_conv[version=3]", "w.pt", None, None, None, None) == "toy_conv[version=3,weights=w.pt]"
    assert target_spec("toy_conv", None, None, None, None, None) == "toy_conv"
    assert target_spec(None, None, None, None, None, None) is None


def test_a_spec_in_brackets_means_the_same_target() -> None:
    flags = target_spec("own_thirds:Thirds", None, "labels.txt", "5x12", "0.5", None)
    assert flags is not None
    typed = "module[size=12,frames=5,classes=labels.txt,build=own_thirds:Thirds,mean=[0.5,0.5,0.5]]"
    assert TARGETS.build(flags).fingerprint == TARGETS.build(typed).fingerprint
    assert TARGETS.build(flags).spec == TARGETS.build(typed).spec


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, "w.pt", None, None, None, None), "choose it with --target"),
        (("a:b", None, None, "16", None, None), "--clip takes frames and side length, such as 16x112, not '16'"),
        (("a:b", None, None, None, "1,2", None), "--mean takes one number, or one per channel"),
        (("a:b", None, None, None, None, "dark"), "--std takes one number, or one per channel"),
        (("toy_conv[weights=v.pt]", "w.pt", None, None, None, None), "'weights' of the target is given twice"),
    ],
)
def test_malformed_options_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        target_spec(*arguments)
