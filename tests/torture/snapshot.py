"""What a finished run says, to be compared with what the same run says after an accident."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

COSTS = ("seconds", "peak_memory_mb", "padded")
"""Columns that differ from run to run."""


def snapshot(run: Path) -> dict[str, str]:
    """The contents of the tables and the pixels of all videos, as text by name.

    Raises:
        OSError, ValueError: something is missing or cannot be read.
    """
    from vcfe_bench.runs.run_directory import RunDirectory
    from vcfe_bench.video import lossless

    found = {}
    records = pd.read_parquet(run / "records.parquet")
    found["records"] = _text(records)
    found["sets"] = _text(pd.read_parquet(run / "sets.parquet").sort_values(["method", "metric"]))
    found["leaderboard"] = _text(pd.read_csv(run / "leaderboard.csv"))
    store = RunDirectory(run)
    for name in sorted({*records["video"].dropna(), *records.loc[records["status"] == "ok", "original"]}):
        found[f"video {name}"] = lossless.content_hash(store.video(name))
    for name in records.loc[records["status"] == "ok", "id"]:
        for folder in ("traces", "artefacts"):
            arrays = store.arrays(folder, name) or {}
            content = b"".join(key.encode() + arrays[key].tobytes() for key in sorted(arrays))
            found[f"{folder} {name}"] = hashlib.sha256(content).hexdigest()
    return found


def differences(expected: dict[str, str], run: Path) -> list[str]:
    """The names of what differs; the error if the run cannot be read."""
    try:
        found = snapshot(run)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return [name for name in {**expected, **found} if expected.get(name) != found.get(name)]


def lost_and_doubled(expected: dict[str, str], run: Path) -> tuple[int, int]:
    """Numbers of records that are missing and that appear more than once."""
    ids = pd.read_parquet(run / "records.parquet")["id"]
    wanted = expected["records"].count("\n") - 1
    return max(0, wanted - ids.nunique()), len(ids) - ids.nunique()


def _text(table: pd.DataFrame) -> str:
    kept = table.drop(columns=[name for name in COSTS if name in table])
    return kept.reset_index(drop=True).to_csv(index=False)
