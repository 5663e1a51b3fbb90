"""``docs/your_model.md``, followed step by step."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.harness.test_cli import call
from vcfe_bench.figures.side_by_side import write_mp4

PAGE = Path(__file__).parents[1] / "docs" / "your_model.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def _forget_my_model() -> Iterator[None]:
    """``my_model`` is not left behind for tests with a module of the same name."""
    yield
    sys.modules.pop("my_model", None)


@pytest.mark.usefixtures("_forget_my_model")
def test_every_step_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a clip by daylight."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    day = torch.randint(150, 230, (20, 3, 72, 96), generator=torch.Generator().manual_seed(0))
    write_mp4(Path("clip.mp4"), day.byte(), 10)
    done = []
    for language, file, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if file:
            Path(file).write_text(text)
        elif language == "bash":
            for line in text.splitlines():
                command, *arguments = shlex.split(line)
                if command == "python":
                    runpy.run_path(arguments[0], run_name="__main__")
                else:
                    assert command == "vcfe-bench"
                    assert call(monkeypatch, *arguments) == 0
        else:
            exec(compile(text, str(PAGE), "exec"), {})
        done.append(file or language)
    assert done == ["my_model.py", "train.py", "bash", "labels.txt", "bash", "python"]
    shown, again = capsys.readouterr().out.rsplit("folder: explained", 1)
    assert "goal night: met" in shown
    assert again.split()[0] == "True"
    listed = re.findall(r"`([\w.]+\.(?:mkv|mp4|png|json))`", PAGE.read_text(encoding="utf-8"))
    assert set(listed) == {"counterfactual.mkv", "original.mkv", "side_by_side.mp4", "strip.png", "scores.json"}
    assert all(Path("explained", name).stat().st_size for name in listed)
    assert json.loads(Path("explained/scores.json").read_text())["before"]["day"] > 0.5
