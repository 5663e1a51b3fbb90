"""From the journal of a run to its tables of records and of set metrics."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from typing import Any, TypeVar, get_type_hints

import numpy as np
import pandas as pd

from vcfe_bench.runs.files import DamagedFile
from vcfe_bench.runs.journal import SetRow
from vcfe_bench.runs.records import Record, ScoredCard, Status
from vcfe_bench.runs.run_directory import METRICS, RECORDS, SETS, RunDirectory

T = TypeVar("T")

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
_OF_THEIR_OWN = ("forwards", "backwards", "traceback", "files")
"""Fields of a record that are no column: passes have one column per network, the others stay in the journal."""
COLUMNS: Mapping[str, str] = {
    name: _DTYPES[hint] for name, hint in get_type_hints(Record).items() if name not in _OF_THEIR_OWN
}
"""Columns of every table of records and their types; ``label`` and ``prediction`` become int64 where all are classes.
After these come ``forwards_<network>`` and ``backwards_<network>``, and one column per sample metric, NaN where it
could not be computed."""
PASSES = ("forwards", "backwards")
_DEFAULTS = {field.name: field.default for field in fields(Record) if field.default is not MISSING}
SET_COLUMNS = [field.name for field in fields(SetRow)]


def records_table(store: RunDirectory) -> pd.DataFrame:
    """One row per finished task of the run's plan, in the plan's order, with all scores so far.

    An infinite score counts as undefined. Scores of a counterfactual that was replaced by another one do not count.

    Raises:
        ValueError: lines of the journal have been damaged since it was opened.
    """
    state = store.journal.state
    done = dict(state.of_plan())
    places = {id: place for place, id in enumerate(done)}
    columns: dict[str, list[Any]] = {name: [_DEFAULTS.get(name)] * len(done) for name in COLUMNS}
    passes: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(len(done)))
    scores = {card.name: np.full(len(done), math.nan) for card in store.cards() if card.level == "sample"}
    for line in store.journal.history():
        content = line.content
        place = places.get(content["id"]) if content["kind"] in ("task", "score") else None
        if place is None:
            continue
        if content["kind"] == "score":
            for name in scores.keys() & content["values"].keys():
                value = content["values"][name]
                scores[name][place] = math.nan if math.isinf(value) else value
            continue
        if content.get("video_sha256") != columns["video_sha256"][place]:
            for values in scores.values():
                values[place] = math.nan
        for name, column in columns.items():
            column[place] = _cell(content.get(name, _DEFAULTS.get(name)))
        if done[content["id"]].offset == line.offset:
            for kind in PASSES:
                for network, count in content.get(kind, {}).items():
                    passes[kind, network][place] = count
    counts = {f"{kind}_{network}": passes[kind, network] for kind, network in sorted(passes, key=_in_order)}
    frame = pd.DataFrame({**columns, **counts, **scores})
    types = {**COLUMNS, **dict.fromkeys([*counts, *scores], "float64")}
    for name in ("label", "prediction"):
        if all(isinstance(value, int) for value in columns[name]):
            types[name] = "int64"
    return frame.astype(types)


def _cell(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_order(passes: tuple[str, str]) -> tuple[int, str]:
    return PASSES.index(passes[0]), passes[1]


def errors(store: RunDirectory) -> dict[tuple[str, str], str]:
    """Why metrics have no value of a record, by record id and metric name: their exceptions."""
    failed = {id for id, task in store.journal.state.of_plan() if task.failed}
    latest: dict[tuple[str, str], str] = {}
    for line in store.journal.history() if failed else ():
        if line.content["kind"] == "score" and line.content["id"] in failed:
            for name in line.content["values"]:
                latest[line.content["id"], name] = line.content["errors"].get(name, "")
    return {key: text for key, text in latest.items() if text}


def sets_table(store: RunDirectory) -> pd.DataFrame:
    """One row per method and metric of a set or of pairs, the latest value of each."""
    return pd.DataFrame(list(store.set_rows().values()), columns=SET_COLUMNS)


def read_records(store: RunDirectory, without: Sequence[str] = ()) -> pd.DataFrame:
    """The table of records without some columns; made again from the journal where the file is damaged.

    Raises:
        UsageError: there is none yet.
    """
    return _or_again(lambda: store.table(RECORDS, without), lambda: records_table(store).drop(columns=list(without)))


def read_sets(store: RunDirectory) -> pd.DataFrame:
    """The table of set metrics; made again from the journal where the file is damaged.

    Raises:
        UsageError: there is none yet.
    """
    return _or_again(partial(store.table, SETS), partial(sets_table, store))


def read_cards(store: RunDirectory) -> list[ScoredCard]:
    """The cards of the metrics in the tables; taken from the journal where the file is damaged.

    Raises:
        UsageError: there are none yet.
    """
    return _or_again(lambda: [ScoredCard.read(card) for card in store.json(METRICS)], store.cards)


def _or_again(read: Callable[[], T], make: Callable[[], T]) -> T:
    try:
        return read()
    except DamagedFile:
        return make()


def write(store: RunDirectory) -> None:
    """Bring the tables of records and set metrics, and the cards, up to the journal.

    Raises:
        DamagedFile: lines of the journal have been damaged since it was opened; the tables are as before.
    """
    try:
        records = records_table(store)
    except ValueError as error:
        raise DamagedFile(f"{error}: run the command that made the run again") from None
    store.put_table(RECORDS, records)
    store.put_table(SETS, sets_table(store))
    store.put_json(METRICS, [card.write() for card in store.cards()])
