"""How the command line behaves towards its user."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.harness.test_cli import TOYS, call
from vcfe_bench.cli import completion
from vcfe_bench.core.errors import nearest
from vcfe_bench.plugins import listing_cache
from vcfe_bench.plugins.listing import Listing
from vcfe_bench.runs.tracebacks import author_frames

HEAVY = ("torch", "diffusers", "transformers", "pandas", "scipy.stats", "av", "matplotlib")


def imported(*arguments: str) -> tuple[int, str, set[str]]:
    """Exit code, output and heavy imports of a command in a process of its own."""
    code = (
        "import sys\nfrom vcfe_bench.cli import main\n"
        f"sys.argv = ['vcfe-bench', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code or 0\nelse:\n    code = 0\n"
        f"print('IMPORTED', *(set(sys.modules) & set({HEAVY!r})))\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    text, _, names = done.stdout.rpartition("IMPORTED")
    return done.returncode, text + done.stderr, set(names.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["run", "-h"], ["leaderboard", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code, text, heavy = imported(*arguments)
    assert (code, heavy) == (0, set())
    assert "vcfe-bench" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--methods", "pdg", "--dataset", "shape_moving"], "unknown method 'pdg'; did you mean 'pgd'?"),
        (["run", "--methods", "pgd", "--dataset", "shape_mving"], "did you mean 'shape_moving'?"),
        (["run", "--methods", "pgd", "--dataset", "shape_moving", "--metrics", "sim"], "did you mean 'ssim'?"),
        (["plan", "--methods", "pdg", "--dataset", "shape_moving"], "did you mean 'pgd'?"),
        (["tune", "pdg", "--dataset", "shape_moving", "--budget", "9"], "did you mean 'pgd'?"),
        (["explain", "a.mp4", "--target", "m_swn", "--method", "pgd", "--out", "x"], "did you mean 'm_swin'?"),
        (["run", "--methods", "pgd"], "no dataset is given: name one with --dataset"),
    ],
)
def test_a_mistyped_name_is_told_before_anything_heavy_is_imported(arguments: list[str], message: str) -> None:
    code, text, heavy = imported(*arguments)
    assert (code, heavy) == (2, set())
    assert message in text


def test_a_table_needs_no_torch_and_no_statistics_of_scipy(tmp_path: Path) -> None:
    assert imported("run", "--methods", "toy_half", *TOYS, "--in-process", "--out", str(tmp_path / "run"))[0] == 0
    code, text, heavy = imported("leaderboard", str(tmp_path / "run"))
    assert (code, heavy) == (0, {"pandas"})
    assert "toy_half" in text


def test_a_second_list_imports_nothing_heavy_and_says_the_same() -> None:
    first, second = imported("list", "generators"), imported("list", "generators")
    assert first[:2] == second[:2]
    assert "wan_shape_moving" in first[1]
    assert "torch" in first[2]
    assert second[2] == set()


def test_a_changed_source_is_listed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "listed_package" / "__init__.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("mine", "listed_package:Mine", "vcfe_bench.methods")
    monkeypatch.setattr(listing_cache, "entries", lambda kind: {"mine": (entry,)})
    calls = []
    found = [Listing("mine", "", "", str(module), parameters={"a": "1"}, presets=("paper",))]
    monkeypatch.setattr(listing_cache, "_loaded", lambda kind: calls.append(kind) or found)
    assert listing_cache.listings("method") == listing_cache.listings("method") == found
    assert calls == ["method"]
    module.write_text("x = 1")
    listing_cache.listings("method")
    assert calls == ["method"] * 2
    found[:] = [Listing("mine", "", "", str(module), error="ImportError: nothing")]
    module.write_text("x = 12")
    listing_cache.listings("method")
    listing_cache.listings("method")
    assert len(calls) == 4, "an error is not kept"


def test_completion_knows_plug_ins_and_imports_nothing_heavy() -> None:
    assert "bttf,pgd" in completion.plugins("method")("bttf,pg")
    code = (
        "import sys; from vcfe_bench.cli import app, completion; print(*completion.plugins('dataset')('shape_m'));"
        f"print(*(set(sys.modules) & set({HEAVY!r})))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["shape_moving"]


def test_examples_in_help_keep_their_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert call(monkeypatch, "run", "--help") == 0
    assert "bttf[steps=15],pgd" in capsys.readouterr().out


def test_a_parameter_is_suggested_by_its_beginning() -> None:
    assert nearest("eps", ["epsilon", "steps", "rel_stepsize"]) == "did you mean 'epsilon'?"
    assert nearest("inv", ["inversion_iterations", "style"]) == "did you mean 'inversion_iterations'?"


def test_runs_are_listed_and_the_latest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "runs") == 0
    assert "no runs in runs/" in capsys.readouterr().out
    assert call(monkeypatch, "leaderboard") == 2
    assert "there is no run in runs/" in capsys.readouterr().err
    asked = ["run", "--methods", "toy_half", *TOYS, "--in-process"]
    assert call(monkeypatch, *asked, "--dry-run") == 0
    plan = capsys.readouterr().out
    assert "toy_half: 3 of 3 tasks to run" in plan
    assert not Path("runs").exists()
    assert call(monkeypatch, *asked, "-q") == 0
    quiet = capsys.readouterr().out
    assert "first result" not in quiet
    assert "toy_half" in quiet
    assert call(monkeypatch, "runs") == 0
    assert "toy_half on toy_lights, toy_conv, 3 videos" in capsys.readouterr().out
    assert call(monkeypatch, "leaderboard") == 0
    assert "toy_half" in capsys.readouterr().out
    for command in (["status"], ["verify"], ["curves", "--out", "curves.csv"]):
        assert call(monkeypatch, *command) == 0
    assert "everything in runs/toy_lights-" in capsys.readouterr().out
    assert call(monkeypatch, *asked, "--dry-run") == 0
    assert "toy_half: 0 of 3 tasks to run, 3 done" in capsys.readouterr().out


def test_goals_are_named_and_failures_show_the_frames_of_their_author(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["run", "--methods", "toy_fragile", "--dataset", "toy_lights", "--metrics", "toy_flip", "--in-process"]
    assert call(monkeypatch, *asked, "--out", "run") == 0
    text = capsys.readouterr().out
    assert "goal class=" not in text
    assert "ValueError: the light went" in text
    assert "toys" in text
    assert "runs/micro_batch.py" not in text
    (file,) = (tmp_path / "run" / "tracebacks").iterdir()
    assert "micro_batch.py" in file.read_text()
    assert call(monkeypatch, *asked, "--out", "other", "--fail-fast") != 0
    assert "--fail-fast ends the run" in capsys.readouterr().err


def test_the_debugger_opens_where_a_method_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("pdb.post_mortem", opened.append)
    call(monkeypatch, "run", "--methods", "toy_fragile", "--dataset", "toy_lights", "--metrics", "toy_flip", "--pdb")
    assert len(opened) == 1
    while opened[0].tb_next:
        opened[0] = opened[0].tb_next
    assert opened[0].tb_frame.f_code.co_name == "run"


def test_frames_of_harness_and_libraries_are_left_out() -> None:
    import vcfe_bench

    harness = vcfe_bench.__file__
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{harness}", line 3, in perform\n    run()\n'
        '  File "/home/me/mine.py", line 7, in run\n    torch.stack([])\n    ~~~~~^^\n'
        f'  File "{sys.prefix}/lib/python3/site-packages/torch/x.py", line 9, in stack\n    raise\n'
        "RuntimeError: stack expects\n  a list\n"
    )
    shown = author_frames(text)
    assert shown.startswith('  File "/home/me/mine.py", line 7, in run\n    torch.stack([])\n')
    assert shown.endswith("RuntimeError: stack expects\n  a list")
    assert harness not in shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_finished_run_is_shown_in_narrow_encodings(tmp_path: Path, encoding: str) -> None:
    arguments = ["run", "--methods", "toy_push[label=größer↑]", *TOYS, "--in-process", "--out", "run"]
    code = f"import sys; sys.argv = ['vcfe-bench', *{arguments!r}]; from vcfe_bench.cli import main; main()"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode(encoding)
    assert "toy_push[label=" in shown
    assert "\x1b" not in shown
