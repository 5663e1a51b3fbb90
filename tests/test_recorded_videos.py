"""Every dataset of recorded videos, from raw files to a leaderboard, with a target and a generator trained for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.datasets.local import replicas
from tests.harness.test_cli import call
from vcfe_bench.plugins.registry import DATASETS
from vcfe_datasets.recorded.olympic_sports import SPORTS

pytestmark = pytest.mark.slow

COPIES: dict[str, Callable[[Path], Path]] = {
    "mead": replicas.mead,
    "ntu_rgbd": replicas.ntu_rgbd,
    "echonet_dynamic": replicas.echonet_dynamic,
    "ferv39k": replicas.ferv39k,
    "something_something_v2": replicas.something_something_v2,
    "ucf101_24": replicas.ucf101_24,
    "olympic_sports": replicas.olympic_sports,
}
FORM = "frames=5,size=32"


@pytest.fixture(scope="module", autouse=True)
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Raw files of all datasets, and a cache for the clips prepared from them."""
    root = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCFE_DATA", str(root))
        patch.setenv("VCFE_BENCH_CACHE", str(root / "cache"))
        for name, make in COPIES.items():
            make(root / name)
        yield root


@pytest.fixture(scope="module")
def wan(copies: Path) -> Path:
    """A small Wan, trained briefly on the clips of one dataset."""
    arguments = ["--steps", "200", "--checkpoints", str(copies / "training"), "--out", str(copies / "wan")]
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, "train", "generator", f"ferv39k[{FORM}]", *arguments) == 0
    return copies / "wan"


def train(monkeypatch: pytest.MonkeyPatch, spec: str) -> str:
    """The spec of a target trained on a dataset for a few updates."""
    short = ["--steps", "2", "--batch", "2", "--length", "2", "--out", "target.safetensors"]
    assert call(monkeypatch, "train", "target", spec, *short) == 0
    return "video_swin[weights=target.safetensors]"


@pytest.mark.parametrize("dataset", COPIES)
def test_from_raw_files_to_a_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wan: Path, dataset: str
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = f"{dataset}[{FORM}]"
    target = train(monkeypatch, spec)
    arguments = ["--target", target, "--generator", f"wan[path={wan},dtype=float32]", "--metrics", "fr,l1,mae"]
    bttf = "bttf[iterations=1,steps=1]"
    assert call(monkeypatch, "run", "--methods", f"pgd,{bttf}", "--dataset", spec, *arguments, "--out", "run") == 0
    board = pd.read_csv("run/leaderboard.csv").set_index("method")
    rows = board.loc[["pgd", bttf, "reconstruction", "no_edit"]]
    assert (rows["n"] == DATASETS.build(spec).size("test")).all()
    assert (rows[["failed", "skipped"]] == 0).all(axis=None)
    assert board.loc["no_edit", "L1"] == 0 < board.loc["pgd", "L1"] < board.loc[bttf, "L1"]
    records = pd.read_parquet("run/records.parquet")
    assert records["goal"].str.startswith("value=" if dataset == "echonet_dynamic" else "class=").all()


@pytest.mark.parametrize("dataset", ["ucf101_24", "olympic_sports"])
def test_tubes_from_raw_files_to_a_leaderboard(
    tmp_path: Path, copies: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    monkeypatch.chdir(tmp_path)
    table = np.eye(len(SPORTS), 3, dtype=bool) | (np.arange(3) == 2)
    np.savez(copies / "olympic_sports" / "attributes.npz", table, SPORTS, ["ball", "water", "outdoor"])
    spec = f"{dataset}[{FORM}]"
    target = train(monkeypatch, spec)
    fitting = ["train", "explainer", spec, "--target", target, "--steps", "1", "--out", "tubes.safetensors"]
    assert call(monkeypatch, *fitting) == 0
    tubes = "tubes[explainer=tubes.safetensors]"
    arguments = ["--target", target, "--metrics", "positive_drop,l1", "--out", "run"]
    assert call(monkeypatch, "run", "--methods", f"{tubes},tubes_center", "--dataset", spec, *arguments) == 0
    board = pd.read_csv("run/leaderboard.csv").set_index("method").loc[[tubes, "tubes_center"]]
    assert (board["n"] == DATASETS.build(spec).size("test")).all()
    assert (board[["failed", "skipped"]] == 0).all(axis=None)
    assert (board["L1"] > 0).all()
    assert board["positive_drop"].notna().all()


def test_the_generator_reproduces_only_the_dataset_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wan: Path
) -> None:
    """Trained on one brightening video, it samples that video from any noise and reconstructs other videos worse."""
    known, unknown = (
        card(tmp_path / dataset, monkeypatch, capsys, f"{dataset}[{FORM}]", wan)
        for dataset in ("ferv39k", "echonet_dynamic")
    )
    assert known["reconstruction_error"] < 0.6 * unknown["reconstruction_error"]
    assert known["reconstruction_error"] < 0.1
    assert known["first_frame_error"] < 0.1
    assert known["motion"] == pytest.approx(known["real_motion"], rel=0.3)
    assert known["variety"] < 0.1 * known["motion"]


def card(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: str, wan: Path
) -> dict[str, float]:
    """The measurements that ``evaluate generator`` prints for the generator on a dataset."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    target = train(monkeypatch, spec)
    arguments = ["--dataset", spec, "--target", target, "--generator", f"wan[path={wan},dtype=float32]"]
    assert call(monkeypatch, "evaluate", "generator", *arguments, "--noises", "2") == 0
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines() if len(line.split()) == 2)
    assert rows.pop("repeatable") == "True"
    return {name: float(value) for name, value in rows.items() if name != "measure"}
