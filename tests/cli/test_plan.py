from __future__ import annotations

import pytest

from tests.harness.test_cli import call

TOYS = ["--methods", "toy_push[steps=2],pgd", "--dataset", "toy_lights", "--limit", "3"]


def test_plan_prints_tasks_evaluations_hours_and_memory(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    assert call(monkeypatch, "plan", *TOYS, "--goals", "all", "--gpus", "a100-80gb") == 0
    text = capsys.readouterr().out
    assert "Clips of 5x12x12." in text
    rows = [line.split() for line in text.split("Time for all tasks")[0].splitlines()]
    (pgd,) = [row for row in rows if row[:1] == ["pgd"]]
    assert pgd[:5] == ["pgd", "6", "target", "10", "10"]
    assert "weights of target" in text
    rows_of_times = text.split("Time for all tasks")[1].split("Peak memory")[0].splitlines()
    machines = [line.split("  ")[0].strip() for line in rows_of_times if line.startswith(" ")]
    assert machines == ["machine", "this machine", "a100-80gb"]
    assert text.rstrip().endswith("fits: a100-80gb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "a100-80bg"], "unknown GPU 'a100-80bg'; did you mean 'a100-80gb'?"),
        (["--shape", "33x448"], "--shape has to be frames, height and width, such as 33x448x448, not '33x448'"),
        (["--shape", "4x12x12"], "generator 'toy_blocks' does not fit clips of 4x12x12: the generator makes 4k+1"),
        (["--generator", "wan[path=nowhere]"], "'nowhere' is neither a pipeline directory nor one of Wan-AI/"),
    ],
)
def test_plan_reports_what_to_change(monkeypatch, capsys, arguments: list[str], message: str) -> None:
    assert call(monkeypatch, "plan", *TOYS, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"vcfe-bench: {message}")
