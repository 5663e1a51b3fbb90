"""A run that is killed at any moment and resumed ends like one that was never interrupted."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.harness.toys import MEASURED, run
from vcfe_bench.runs.run_directory import JOURNAL, RunDirectory

METHOD = "toy_push[pause=0.03]"
COMMAND = [
    *(sys.executable, "-c", "from vcfe_bench.cli import main; main()", "run"),
    *("--methods", METHOD, "--dataset", "toy_lights", "--limit", "12"),
    *("--metrics", "toy_flip,toy_change,toy_spread,toy_missing"),
]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("untouched") / "run"
    run(out, METHOD, limit=12)
    return out


def assert_same(run: Path, other: Path) -> None:
    first, second = (pd.read_parquet(path / "records.parquet").drop(columns=MEASURED) for path in (run, other))
    pd.testing.assert_frame_equal(first, second)
    for folder in ("videos", "traces"):
        names = sorted(path.name for path in (run / folder).iterdir())
        assert names == sorted(path.name for path in (other / folder).iterdir() if not path.name.startswith("."))
        for name in names:
            assert (run / folder / name).read_bytes() == (other / folder / name).read_bytes()
    pd.testing.assert_frame_equal(*(pd.read_parquet(path / "sets.parquet") for path in (run, other)))


@pytest.mark.slow
def test_killed_and_run_again(tmp_path: Path, untouched: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen([*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while _pushed(out) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 3 <= _pushed(out) < 12
    assert not (out / "records.parquet").exists()
    again = subprocess.run([*COMMAND, "--out", str(out)], capture_output=True, text=True, check=True)
    assert "results are reused" in again.stdout
    assert_same(untouched, out)


def test_a_journal_cut_anywhere_is_completed(tmp_path: Path, untouched: Path) -> None:
    content = (untouched / JOURNAL).read_bytes()
    for share in (0.0, 0.6):
        out = Path(shutil.copytree(untouched, tmp_path / f"run-{share}"))
        (out / JOURNAL).write_bytes(content[: int(len(content) * share)])
        run(out, METHOD, limit=12)
        assert_same(untouched, out)


def _pushed(out: Path) -> int:
    if not (out / JOURNAL).exists():
        return 0
    return sum(record.method == METHOD for record in RunDirectory(out).records().values())
