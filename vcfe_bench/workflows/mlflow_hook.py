"""A hook that logs runs to MLflow; it needs ``pip install 'vcfe-bench[mlflow]'``.

Each run of the benchmark is one MLflow run, in the experiment and store that MLflow is set to
(``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``): parameters are the question, metrics are ``METHOD/METRIC`` with
signs that MLflow does not accept replaced by ``_``, and ``leaderboard.csv`` and ``run.json`` are artefacts.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import mlflow

from vcfe_bench.results.leaderboard import CSV, Leaderboard
from vcfe_bench.runs.configuration import NONE, Configuration
from vcfe_bench.runs.records import Record
from vcfe_bench.workflows.hooks import Hook


class MLflowHook(Hook):
    """Logs parameters, the number of results while they are made, the leaderboard and the tables."""

    def __init__(self) -> None:
        self.run: Any = None
        self.results: dict[str, int] = {}

    def on_run_start(self, path: Path, configuration: Configuration) -> None:
        self.run = mlflow.start_run(run_name=path.name)
        mlflow.log_params(
            {
                "methods": ", ".join(configuration.methods),
                "dataset": configuration.dataset,
                "split": configuration.split,
                "videos": configuration.limit,
                "goals": configuration.goals,
                "target": configuration.target.spec,
                "generator": configuration.generator.spec if configuration.generator else NONE,
                "seed": configuration.seed,
                "directory": str(path),
            }
        )

    def on_record(self, record: Record) -> None:
        done = self.results[record.method] = self.results.get(record.method, 0) + 1
        mlflow.log_metric(_key(record.method, "results"), done, step=done)

    def on_scores(self, board: Leaderboard) -> None:
        columns = [card.name for card in board.metrics if card.name in board.frame] + ["calls", "seconds"]
        for _, row in board.frame.iterrows():
            values = {_key(row["method"], name): float(row[name]) for name in columns}
            mlflow.log_metrics({key: value for key, value in values.items() if not math.isnan(value)})

    def on_run_end(self, path: Path, error: BaseException | None) -> None:
        for name in (CSV, "run.json"):
            if (path / name).exists():
                mlflow.log_artifact(str(path / name))
        mlflow.end_run("FINISHED" if error is None else "FAILED")


def _key(method: str, name: str) -> str:
    return re.sub(r"[^\w./ -]", "_", f"{method}/{name}")
