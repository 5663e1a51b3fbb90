"""``docs/your_model.md``, followed step by step."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.walk import DOCS, walk
from vcfe_bench.figures.side_by_side import write_mp4

PAGE = DOCS / "your_model.md"


def test_every_step_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a clip by daylight."""
    day = torch.randint(150, 230, (20, 3, 72, 96), generator=torch.Generator().manual_seed(0))
    write_mp4(tmp_path / "clip.mp4", day.byte(), 10)
    done = walk("your_model.md", monkeypatch, tmp_path)
    assert done == ["my_model.py", "train.py", "python train.py", "labels.txt", "vcfe-bench explain clip.mp4", "python"]
    shown, again = capsys.readouterr().out.rsplit("folder: explained", 1)
    assert "goal night: met" in shown
    assert again.split()[0] == "True"
    listed = re.findall(r"`([\w.]+\.(?:mkv|mp4|png|json))`", PAGE.read_text(encoding="utf-8"))
    assert set(listed) == {"counterfactual.mkv", "original.mkv", "side_by_side.mp4", "strip.png", "scores.json"}
    assert all(Path("explained", name).stat().st_size for name in listed)
    assert json.loads(Path("explained/scores.json").read_text())["before"]["day"] > 0.5
