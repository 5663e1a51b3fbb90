"""The command line as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcfe_bench.cli import main

TOYS = ["--dataset", "toy_lights", "--metrics", "toy_flip,toy_spread", "--limit", "3"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", *arguments])
    try:
        main()
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


def test_run_leaderboard_and_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    methods = "toy_push[rate=60,steps=2],toy_half"
    assert call(monkeypatch, "run", "--methods", methods, *TOYS) == 0
    (out,) = Path("runs").iterdir()
    assert out.name.startswith("toy_lights-")
    text = capsys.readouterr().out
    assert "toy_push[rate=60.0,steps=2]: first result, video light-0, goal " in text
    assert f"report: vcfe-bench report {out} --open" in text
    assert call(monkeypatch, "run", "--methods", methods, *TOYS) == 0
    again = capsys.readouterr().out
    assert again.startswith("15 of 15 results are reused from the run directory\n")
    assert call(monkeypatch, "leaderboard", str(out)) == 0
    table = capsys.readouterr().out.partition("\n")[2]
    assert table in text, "all below the title, which says how long the run took"
    assert call(monkeypatch, "rescore", str(out), "--metrics", "toy_flip") == 0
    assert table in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "toy_pusch"], "unknown method 'toy_pusch'; did you mean 'toy_push'?"),
        (["--methods", "toy_push[stepps=3]"], "method 'toy_push' has no parameter 'stepps'; did you mean 'steps'?"),
        (["--methods", "toy_push[steps=x]"], "method 'toy_push': steps=x: Input should be a valid integer"),
        (["--methods", "toy_push[steps"], "brackets do not match in 'toy_push[steps'"),
        (["--methods", ","], "no method is given: name one with --methods"),
        (["--methods", "toy_broken"], "method 'toy_broken' cannot be loaded: ModuleNotFoundError"),
        (["--limit", "0"], "--limit must be at least 1, not 0"),
        (["--dataset", "toy_lights[frames=4]"], "generator 'toy_blocks' does not fit dataset 'toy_lights[frames=4]'"),
        (["--out", "taken/run"], "cannot write to taken/run: "),
        (["--out", "."], ". is not empty and not a run"),
        (["--target", "toy_conv[weights=taken]"], "taken is empty"),
        (["--target", "toy_conv[weights=taken.safetensors]"], "there is no file taken.safetensors"),
        (["--metrics", "toy_flop"], "unknown metric 'toy_flop'; did you mean 'toy_flip'?"),
    ],
)
def test_bad_input_gets_one_line_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    assert call(monkeypatch, "run", "--methods", "toy_push", *TOYS, *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"vcfe-bench: {message}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", ["leaderboard", "rescore"])
def test_what_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert call(monkeypatch, command, str(tmp_path)) == 2
    assert f"{tmp_path} is not a run" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vcfe_toys.methods import Push

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Push, "run", interrupt)
    assert call(monkeypatch, "run", "--methods", "toy_push", *TOYS, "--out", str(tmp_path / "run")) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["methods", "datasets", "targets", "generators", "metrics"])
def test_list(kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert call(monkeypatch, "list", kind) == 0
    text = capsys.readouterr().out
    assert "vcfe-toys 0.1" in text
    assert "vcfe-bench" in text
    if kind == "methods":
        assert "broken: ModuleNotFoundError" in text
        assert "steps=5, rate=20.0" in text
        assert "presets: strong" in text


@pytest.mark.parametrize("command", ["run", "score", "rescore", "leaderboard", "check", "list"])
def test_help_has_an_example(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, command, "--help") == 0
    assert f"Example: vcfe-bench {command}" in capsys.readouterr().out


def test_help_does_not_load_torch() -> None:
    code = "import sys; from vcfe_bench.cli import main\ntry: main()\nexcept SystemExit: print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("False\n")


@pytest.mark.parametrize(
    ("method", "further", "reason"),
    [
        ("toy_picky", [], "skipped on 2 of 2 videos"),
        ("toy_rude[fault=raise]", [], "failed on 2 of 2 videos (ValueError: not today)"),
        ("toy_push[steps=9]", ["--budget", "0.5"], "failed on 2 of 2 videos (over the budget"),
    ],
)
def test_a_method_without_any_result_ends_with_1(
    method: str,
    further: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--dataset", "toy_lights", "--limit", "2", "--metrics", "toy_flip", "--goals", "left:middle", *further]
    out = str(tmp_path / "run")
    assert call(monkeypatch, "run", "--methods", f"{method},no_edit", *arguments, "--out", out) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"vcfe-bench: method {method} has no result: {reason}")
    assert len(error.splitlines()) == 1
