"""From the journal of a run to its table of records."""

from __future__ import annotations

from typing import Any

import pandas as pd

from vcfe_bench.store import Store

RECORDS = "records.parquet"
FIXED = {
    "id": "string",
    "method": "string",
    "sample": "string",
    "index": "int64",
    "label": "float64",
    "prediction": "float64",
    "goal": "string",
    "status": "string",
    "reason": "string",
    "met": "boolean",
    "before": "object",
    "after": "object",
    "original": "string",
    "video": "string",
    "video_sha256": "string",
    "seconds": "float64",
    "padded": "int64",
    "peak_memory_mb": "float64",
}
"""Columns of every record and their types. ``label`` and ``prediction`` are whole numbers where they are classes.
``before`` and ``after`` are the target's raw outputs; ``original`` and ``video`` are names under ``videos/``; ``met``
is whether the stored video meets the goal, by the target. After these come ``evaluations_<network>`` and one column per
sample metric, empty where it could not be computed."""


def table(store: Store) -> pd.DataFrame:
    """One row per finished task of the run's plan, in the plan's order, with all scores so far."""
    done, scores = store.tasks(), all_scores(store)
    plans = store.lines("plan")
    order = plans[-1]["tasks"] if plans else list(done)
    tasks = [done[id] for id in order if id in done]
    networks = sorted({network for task in tasks for network in task["evaluations"]})
    metrics = [card["name"] for card in cards(store) if card["level"] == "sample"]
    rows = [
        [task[name] for name in FIXED]
        + [task["evaluations"].get(network) for network in networks]
        + [scores.get(task["id"], {}).get(name) for name in metrics]
        for task in tasks
    ]
    numbers = [*(f"evaluations_{network}" for network in networks), *metrics]
    frame = pd.DataFrame(rows, columns=[*FIXED, *numbers])
    types = FIXED | dict.fromkeys(numbers, "float64")
    for name in ("label", "prediction"):
        if all(isinstance(task[name], int) for task in tasks):
            types[name] = "int64"
    return frame.astype(types)


def cards(store: Store) -> list[dict[str, Any]]:
    """What is known about the metrics of the last scoring, computable or not."""
    scored = store.lines("scored")
    return scored[-1]["cards"] if scored else []


def all_scores(store: Store) -> dict[str, dict[str, float]]:
    """Latest value of each sample metric by record id and metric name."""
    scores: dict[str, dict[str, float]] = {}
    for line in store.lines("score"):
        scores.setdefault(line["id"], {}).update(line["values"])
    return scores


def write(store: Store) -> pd.DataFrame:
    """Bring ``records.parquet`` up to the journal."""
    frame = table(store)
    store.put_table(RECORDS, frame)
    return frame
