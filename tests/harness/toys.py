"""Short ways to run the toys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vcfe_bench.runs import run_file
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import Plan, make
from vcfe_bench.runs.run_directory import RUN, RunDirectory
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


def rewrite(file: Path, change: Callable[[Any], object]) -> None:
    """Change a json file or the table of records of a run as if the run had written it so."""
    store = RunDirectory(file.parent)
    content = pd.read_parquet(file) if file.suffix == ".parquet" else json.loads(file.read_text())
    change(content)
    if file.name == RUN:
        run_file.write(file, Configuration.read(content["configuration"]), content["environment"])
        return
    (store.put_table if file.suffix == ".parquet" else store.put_json)(file.name, content)
    store.put_checksums()


def planned(*methods: str, **rest: Any) -> tuple[Setup, Plan]:
    setup = resolve(ask(*methods, **rest))
    return setup, make(setup, Originals(setup, {}))
