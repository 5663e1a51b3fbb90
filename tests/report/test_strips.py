from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.harness.toys import run
from vcfe_bench.cli import main
from vcfe_bench.core.errors import UsageError
from vcfe_bench.figures.strips import GAP, figure
from vcfe_bench.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("strips") / "run"
    run(out, "toy_push[rate=60,steps=2]", "toy_fragile", limit=8)
    return out


@pytest.fixture
def records(finished: Path) -> pd.DataFrame:
    return pd.read_parquet(finished / "records.parquet")


def _of(records: pd.DataFrame, sample: str) -> pd.DataFrame:
    return records[(records["sample"] == sample) & (records["status"] == "ok")]


def test_strips_show_the_frames_and_their_differences(finished: Path, records: pd.DataFrame) -> None:
    store, chosen = RunDirectory(finished), _of(records, "light-0").iloc[:2]
    drawn = figure(store, list(chosen["id"]), frames=3)
    original = store.video(chosen.iloc[0]["original"]).numpy()
    images = [np.asarray(axes.images[0].get_array()) for axes in drawn.axes]
    assert len(images) == 5
    videos = [original, *(store.video(name).numpy() for name in chosen["video"])]
    for image, video in zip((images[0], images[1], images[3]), videos, strict=True):
        assert image.shape == (12, 3 * 12 + 2 * GAP, 3)
        for place, frame in enumerate((0, 2, 4)):
            left = place * (12 + GAP)
            assert np.array_equal(image[:, left : left + 12], video[frame].transpose(1, 2, 0))
    changed = abs(store.video(chosen.iloc[0]["video"]).numpy().astype(int) - original)[[0, 2, 4]].sum(1)
    where = np.unravel_index(changed.argmax(), changed.shape)
    assert images[2][where[1], where[0] * (12 + GAP) + where[2]].tolist() == [255] * 3
    assert drawn.axes[2].get_title(loc="left").endswith(f"{changed.max() / 765:.3f}")


def test_titles_name_predictions_and_goals(finished: Path, records: pd.DataFrame) -> None:
    record = _of(records, "light-1").iloc[0]
    classes = ("left", "middle", "right")
    first, second = (
        axes.get_title(loc="left") for axes in figure(RunDirectory(finished), [record["id"]], 2, False).axes
    )
    assert first == f"original light-1, predicted {classes[record['prediction']]}"
    assert second.startswith(f"{record['method']}, goal {classes[int(record['goal'][-1])]}")


def test_what_cannot_be_drawn(finished: Path, records: pd.DataFrame) -> None:
    store = RunDirectory(finished)
    ids = [_of(records, sample)["id"].iloc[0] for sample in ("light-0", "light-1")]
    with pytest.raises(UsageError, match="no record 'nothing' in this run"):
        figure(store, ["nothing"])
    with pytest.raises(UsageError, match="the records are of 2 different originals"):
        figure(store, ids)
    failed = records[records["status"] == "failed"].iloc[0]
    with pytest.raises(UsageError, match=f"record '{failed['id']}' has no video: failed, "):
        figure(store, [failed["id"]])


def test_from_the_command_line(
    finished: Path, records: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    command = ["vcfe-bench", "figure", str(finished), "--record", records["id"].iloc[0], "--frames", "5", "--out"]
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "strip.png")])
    with pytest.raises(SystemExit, match="0"):
        main()
    with Image.open(tmp_path / "strip.png") as image:
        assert image.width == 1125
        assert len(np.unique(np.asarray(image))) > 50
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "strip.xyz")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "cannot write" in capsys.readouterr().err
