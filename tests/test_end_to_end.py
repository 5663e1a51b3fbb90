"""The pages from start to table, followed step by step."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.walk import BLOCK, DOCS, walk

PAGES = sorted(path.name for path in (DOCS / "end_to_end").glob("*.md"))


def rows(run: str) -> pd.DataFrame:
    return pd.read_csv(Path(run) / "leaderboard.csv").set_index("method")


def test_there_are_four_pages_and_every_command_on_them_is_in_a_block_that_is_run() -> None:
    assert PAGES == ["classifier.md", "ef_regressor.md", "method.md", "outputs.md"]
    for name in PAGES:
        text = (DOCS / "end_to_end" / name).read_text(encoding="utf-8")
        assert not re.search(r"^(vcfe-bench|python|pip) ", BLOCK.sub("", text), re.MULTILINE)
        for language, file, block in BLOCK.findall(text):
            assert file or language == "bash", block


@pytest.mark.slow
def test_my_ef_regressor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = walk("end_to_end/ef_regressor.md", monkeypatch, tmp_path)
    assert done[:3] == ["my_ef.py", "stand_in.py", "python stand_in.py"]
    shown = capsys.readouterr().out
    assert "24 usable videos" in shown
    assert float(re.search(r"r2 +(\d\.\d+)", shown)[1]) > 0.98  # type: ignore[index]
    table = rows("runs/ef")
    (pgd,) = [name for name in table.index if name.startswith("pgd")]
    assert table.loc[pgd, "FR"] > table.loc["no_edit", "FR"] == 0
    assert table.loc[pgd, "MAE"] < table.loc["no_edit", "MAE"]
    assert Path("runs/ef/report/index.html").is_file()


@pytest.mark.slow
def test_my_classifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk("end_to_end/classifier.md", monkeypatch, tmp_path)
    shown = capsys.readouterr().out
    assert "32 usable videos" in shown
    table = rows("runs/mine")
    (pgd,) = [name for name in table.index if name.startswith("pgd")]
    assert table.loc[pgd, "FR"] == 1
    assert table.loc["true_edit", "n"] == 0
    assert Path("runs/mine/report/index.html").is_file()


@pytest.mark.slow
def test_my_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    walk("end_to_end/method.md", monkeypatch, tmp_path)
    table = rows("runs/blend")
    assert table.index.tolist() == ["blend", "pgd", "true_edit", "reconstruction", "no_edit"]
    assert table.loc["blend", "answered"] == 4
    assert "blend" in Path("table.md").read_text(encoding="utf-8")
    assert json.loads(Path("blend.json").read_text(encoding="utf-8"))["methods"] == table.index.tolist()


@pytest.mark.slow
def test_my_outputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    walk("end_to_end/outputs.md", monkeypatch, tmp_path)
    assert rows("runs/backwards").index.tolist() == ["backwards"]
    joined = capsys.readouterr().out.rpartition("s/video\n")[2].partition("\n\n")[0]
    (row,) = re.findall(r"^backwards.*$", joined, re.MULTILINE)
    assert row.split()[-2:] == ["–", "–"]
    for method in ("pgd", "true_edit", "no_edit"):
        assert re.search(rf"^{method}\b", joined, re.MULTILINE)
    assert Path("report/index.html").is_file()
