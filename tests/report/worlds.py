"""Toy runs for reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.harness.toys import METRICS, ask
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as runner

HOSTILE = "</script><script>alert('$1')</script>&<b onclick=alert(2)>"
PUSH = "toy_push[rate=60,steps=2]"


def lights(out: Path, *methods: str, limit: int = 6, **rest: object) -> Path:
    return runner.run(ask(*methods, limit=limit, **rest), out, (*METRICS, "semantic_fr"))


def with_boxes(run: Path, method: str) -> Path:
    """Give every record of a method a tube: a growing box that is missing from the first frame."""
    store = RunDirectory(run)
    boxes = np.array([[[np.nan] * 4, *([2.0, 3.0, 4.0 + t, 5.0 + t] for t in range(4))]])
    for id in store.table("records.parquet").query("method == @method and status == 'ok'")["id"]:
        store.put_arrays("artefacts", id, {"tube_attributes": np.array(["bright <i>"]), "tube_boxes": boxes})
    return run
