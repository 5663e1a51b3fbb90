"""The benchmark from Python."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vcfe_bench as vb
from vcfe_bench.api import Run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.run_directory import RunDirectory

ASKED = {"metrics": "toy_flip,toy_spread", "limit": 3, "in_process": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("api") / "run"
    return vb.run("toy_half,toy_push[label=<b>]", "toy_lights", out=out, **ASKED)


def test_importing_it_is_quick_and_all_names_are_there() -> None:
    code = (
        "import sys, vcfe_bench as vb; print('torch' in sys.modules, 'pandas' in sys.modules);"
        "print(all(callable(getattr(vb, name)) for name in vb.__all__), set(vb.__all__) <= set(dir(vb)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False", "True", "True"]


def test_opening_a_table_needs_no_torch(made: Run) -> None:
    code = f"import sys, vcfe_bench as vb; print(vb.open({str(made.path)!r})); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "toy_half" in shown
    assert shown.split()[-1] == "False"


def test_a_run_has_a_summary_a_table_and_records(made: Run) -> None:
    again = vb.open(made.path)
    assert list(again.table()["method"][:2]) == ["toy_half", "toy_push[label=<b>]"]
    assert "toy_half" in repr(again.summary(intervals=True))
    assert "[" in repr(again.summary(intervals=True)).splitlines()[3]
    assert "&lt;b&gt;" in again._repr_html_()
    assert "<b>]" not in again._repr_html_()
    assert len(again.records) == 15
    pd.testing.assert_frame_equal(again.records, pd.read_parquet(made.path / "records.parquet"))


def test_videos_are_shown_next_to_each_other(made: Run) -> None:
    shown = made.show("light-0", methods="toy_half")
    sources = re.findall(r'src="data:video/mp4;base64,([^"]+)"', shown.html)
    assert [title for title in re.findall(r"<figcaption>([^<]*)", shown.html)][1:] == [
        *(f"toy_half: {what}" for what in ("goal met", "difference"))
    ] or "toy_half: goal not met" in shown.html
    assert len(sources) == 3
    store = RunDirectory(made.path)
    row = made.records[(made.records["sample"] == "light-0") & (made.records["method"] == "toy_half")].iloc[0]
    stored = store.video(row["video"]).numpy().astype(float)
    file = made.path / "shown.mp4"
    file.write_bytes(base64.b64decode(sources[1]))
    decoded = np.asarray(_pixels(file), float)
    assert decoded.shape == stored.shape
    assert np.abs(decoded - stored).mean() < 12, "H.264 with 4:2:0 of the counterfactual itself"
    assert len(re.findall("<video", made.show("light-0").html)) == 1 + 2 * 5
    assert len(re.findall("<video", made.show("light-0", differences=False).html)) == 1 + 5


def _pixels(file: Path) -> np.ndarray:
    import av

    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).transpose(0, 3, 1, 2)


def test_mistakes_are_told(made: Run) -> None:
    with pytest.raises(UsageError, match="there is no video 'light-00'; did you mean"):
        made.show("light-00")
    with pytest.raises(UsageError, match="no counterfactual of video 'light-0'"):
        made.show("light-0", methods="pgd")
    with pytest.raises(UsageError, match="unknown method 'toy_hlaf'"):
        vb.run("toy_hlaf", "toy_lights")


def test_runs_are_compared(made: Run, tmp_path: Path) -> None:
    other = vb.run(["toy_half"], "toy_lights", out=tmp_path / "other", seed=1, **ASKED)
    board = vb.compare(made, other.path)
    assert set(board.table()["seed"]) == {"0, 1", "0"}
    assert "toy_half" in board._repr_html_()
