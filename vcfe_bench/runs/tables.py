"""From the journal of a run to its tables of records and of set metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import pandas as pd

from vcfe_bench.runs.journal import SetRow
from vcfe_bench.runs.records import Record, Status
from vcfe_bench.runs.run_directory import METRICS, RECORDS, SETS, RunDirectory

_DTYPES: Mapping[Any, str] = {
    str: "string",
    str | None: "string",
    Status: "string",
    int: "int64",
    float: "float64",
    int | float: "float64",
    bool | None: "boolean",
    tuple[float, ...]: "object",
    tuple[float, ...] | None: "object",
}
_OF_THEIR_OWN = ("forwards", "backwards", "traceback")
"""Fields of a record that are no column: passes have one column per network, tracebacks stay in the journal."""
COLUMNS: Mapping[str, str] = {
    name: _DTYPES[hint] for name, hint in get_type_hints(Record).items() if name not in _OF_THEIR_OWN
}
"""Columns of every table of records and their types; ``label`` and ``prediction`` become int64 where all are classes.
After these come ``forwards_<network>`` and ``backwards_<network>``, and one column per sample metric, NaN where it
could not be computed."""
SET_COLUMNS = [field.name for field in fields(SetRow)]


def records_table(store: RunDirectory) -> pd.DataFrame:
    """One row per finished task of the run's plan, in the plan's order, with all scores so far."""
    done, scores = store.records(), latest_scores(store)
    plan = store.planned()
    records = [done[id] for id in (plan.tasks if plan else done) if id in done]
    passes = [(kind, network) for kind in ("forwards", "backwards") for network in _networks(records, kind)]
    metrics = [card.name for card in store.cards() if card.level == "sample"]
    rows = [
        [getattr(record, name) for name in COLUMNS]
        + [getattr(record, kind).get(network, 0) for kind, network in passes]
        + [scores.get(record.id, {}).get(name) for name in metrics]
        for record in records
    ]
    numbers = [*(f"{kind}_{network}" for kind, network in passes), *metrics]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *numbers])
    types = {**COLUMNS, **dict.fromkeys(numbers, "float64")}
    for name in ("label", "prediction"):
        if all(isinstance(getattr(record, name), int) for record in records):
            types[name] = "int64"
    return frame.astype(types)


def _networks(records: Sequence[Record], kind: str) -> list[str]:
    return sorted({network for record in records for network in getattr(record, kind)})


def latest_scores(store: RunDirectory) -> dict[str, dict[str, float]]:
    """Latest value of each sample metric by record id and metric name; an infinite one counts as undefined."""
    scores: dict[str, dict[str, float]] = {}
    for entry in store.scores():
        finite = {name: math.nan if math.isinf(value) else value for name, value in entry.values.items()}
        scores.setdefault(entry.id, {}).update(finite)
    return scores


def sets_table(store: RunDirectory) -> pd.DataFrame:
    """One row per method and metric of a set or of pairs, the latest value of each."""
    return pd.DataFrame(list(store.set_rows().values()), columns=SET_COLUMNS)


def write(store: RunDirectory) -> None:
    """Bring the tables of records and set metrics, and the cards, up to the journal."""
    store.put_table(RECORDS, records_table(store))
    store.put_table(SETS, sets_table(store))
    store.put_json(METRICS, [card.write() for card in store.cards()])
