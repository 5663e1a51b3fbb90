"""Exit codes, signals, and errors on one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from vcfe_bench.cli import exits
from vcfe_bench.core.errors import NoResult, UsageError

PROGRAM = [sys.executable, "-c", "from vcfe_bench.cli import main; main()"]


def app_of(error: BaseException | None) -> typer.Typer:
    app = typer.Typer(cls=exits.Commands)

    @app.command()
    def run() -> None:
        if error is not None:
            raise error

    @app.command()
    def leaderboard() -> None:
        run()

    return app


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, 0, ""),
        (UsageError("mend\nit \x1b[31m"), 2, "mend it \\x1b[31m"),
        (NoResult("nothing"), 1, "nothing"),
        (FileNotFoundError(2, "No such file", "a.csv"), 2, "a.csv: No such file"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (ValueError("odd"), 70, "unforeseen error: ValueError: odd; the same command with --debug shows where"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to resume"),
        (exits.Terminated("SIGTERM"), 143, "interrupted; run the same command again to resume"),
    ],
)
def test_every_end_has_its_code_and_one_line(
    error: BaseException | None, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}
    for arguments in (["run"], ["run", "--debug"], ["--debug", "run"]):
        try:
            found = exits.run(app_of(error), arguments)
        except SystemExit as end:
            found = end.code  # type: ignore[assignment]
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert found == code
        printed = capsys.readouterr().err
        assert ("Traceback" in printed) == (error is not None and "--debug" in arguments)
        if error is not None:
            assert printed.splitlines()[-1] == f"vcfe-bench: {message}".removesuffix(
                "; the same command with --debug shows where" if "--debug" in arguments else "\0"
            )
        if "--debug" not in arguments:
            assert len(printed.splitlines()) == bool(message)


def test_a_command_that_resumes_nothing_does_not_promise_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exits.run(app_of(KeyboardInterrupt()), ["leaderboard"])
    assert capsys.readouterr().err == "vcfe-bench: interrupted\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_like_an_interrupt(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "run"
    command = ["run", "--methods", "toy_push[pause=0.2,steps=9]", "--dataset", "toy_lights", "--limit", "9"]
    command += ["--metrics", "toy_flip", "--in-process", "--out", str(out)]
    process = subprocess.Popen(
        [*PROGRAM, *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "VCFE_BENCH_CACHE": str(tmp_path)},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a background job inherits that it is ignored
    )
    journal, deadline = out / "journal.jsonl", time.monotonic() + 100
    while '"task"' not in (journal.read_text() if journal.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.splitlines()[-1] == "vcfe-bench: interrupted; run the same command again to resume"
    assert "Traceback" not in error
    assert (out / "records.parquet").exists()
