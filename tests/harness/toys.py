"""Short ways to run the toys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import Plan, make
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.workflows import run as runner

METRICS = ("toy_flip", "toy_change", "toy_spread", "toy_missing")
MEASURED = ["seconds", "padded", "peak_memory_mb"]
"""Columns of records that may differ from run to run."""


def ask(*methods: str, **rest: Any) -> Request:
    return Request(methods or ("toy_push",), rest.pop("dataset", "toy_lights"), **rest)


def run(out: Path, *methods: str, **rest: Any) -> pd.DataFrame:
    """Run the toys into ``out``; the records."""
    return pd.read_parquet(runner.run(ask(*methods, **rest), out, METRICS) / "records.parquet")


def planned(*methods: str, **rest: Any) -> tuple[Setup, Plan]:
    setup = resolve(ask(*methods, **rest))
    return setup, make(setup, Originals(setup, {}))
