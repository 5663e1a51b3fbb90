"""What a run is held to: another run's directory, or a committed table with the file that says what it is of.

``x.csv`` is the leaderboard of a run; ``x.json`` beside it holds the configuration, its hash, the order of the methods,
the cards of the metrics that have values with their versions, and the version and revision of the code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench.core.errors import UsageError
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.configuration import short_hash
from vcfe_bench.runs.run_directory import RECORDS, RUN, RunDirectory

SCHEME = 1
"""Version of the file beside a table."""


@dataclass(frozen=True)
class Result:
    """A leaderboard and what it is of; ``records`` are those of the run, None for a committed table."""

    frame: pd.DataFrame
    about: dict[str, Any]
    records: pd.DataFrame | None = None

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Cards by name."""
        return {card["name"]: card for card in self.about["metrics"]}


def of_run(path: Path) -> Result:
    """The result of a finished run.

    Raises:
        UsageError: not a run, not scored, or not finished.
    """
    board, store = leaderboard.load(path), RunDirectory(path)
    if board.missing:
        raise UsageError(
            f"{path} is not finished, {board.missing} planned tasks have not run: run the same command again"
        )
    environment = store.json(RUN)["environment"]
    about = {
        "scheme": SCHEME,
        "vcfe_bench": environment["versions"]["vcfe-bench"],
        "revision": environment["revision"],
        "configuration_hash": short_hash(store.configuration.write()),
        "configuration": store.configuration.write(),
        "methods": board.frame["method"].tolist(),
        "metrics": board.metrics,
    }
    return Result(board.frame, about, store.table(RECORDS))


def read(path: Path) -> Result:
    """What to hold a run to: a run's directory, or a committed table.

    Raises:
        UsageError: neither, a file is missing or cannot be read, or it is of another scheme.
    """
    if path.is_dir():
        return of_run(path)
    beside = _beside(path)
    for file in (path, beside):
        if not file.exists():
            raise UsageError(
                f"{file} is missing: make {path} and {beside.name} with vcfe-bench check RUN --against {path} --update"
            )
    try:
        about = json.loads(beside.read_text())
        result = Result(pd.read_csv(path), about)
        if about["scheme"] != SCHEME or not {"configuration", "metrics", "methods"} <= set(about):
            raise ValueError(f"scheme {about['scheme']}, expected {SCHEME}")
        if result.frame["method"].tolist() != about["methods"]:
            raise ValueError("the methods are not those of the table")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} with {beside.name} cannot be read ({type(error).__name__}: {error})") from None
    return result


def write(result: Result, path: Path) -> None:
    """Write a committed table with the file beside it.

    Raises:
        UsageError: not the name of a csv file, or it cannot be written.
    """
    if path.suffix != ".csv" or path.is_dir():
        raise UsageError(f"--update writes a .csv file, not {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.frame.to_csv(path, index=False)
        present = [card for card in result.about["metrics"] if not card["unavailable"]]
        about = {**result.about, "metrics": present}
        _beside(path).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")
