"""The same run gives the same numbers in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

COST = ["seconds", "peak_memory_mb"]


def _run(out: Path, hash_seed: int) -> Path:
    arguments = ("run", "--methods", "pgd", "--dataset", "shape_moving", "--limit", "8", "--out", str(out))
    subprocess.run(
        [sys.executable, "-c", "from vcfe_bench.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        check=True,
        capture_output=True,
    )
    return out


@pytest.mark.slow
def test_no_number_hangs_on_the_order_in_which_python_hashes(tmp_path: Path) -> None:
    first, second = (_run(tmp_path / str(seed), seed) for seed in (1, 4))
    for table in ("records.parquet", "sets.parquet"):
        one, other = (pd.read_parquet(out / table).drop(columns=COST, errors="ignore") for out in (first, second))
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    one, other = (pd.read_csv(out / "leaderboard.csv").drop(columns=COST) for out in (first, second))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
