"""The state of a long journal as a file beside it, so that opening it need not read every line.

It is derived: where it is missing, damaged, or of another journal, the journal is read from its start. Of each task it
has one row; of other kinds of lines it has the places in the journal, at which they are read again.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vcfe_bench.core.garbage import uncollected
from vcfe_bench.runs import lines, sealed
from vcfe_bench.runs.files import atomically
from vcfe_bench.runs.lines import Reader
from vcfe_bench.runs.state import Pace, State, TaskState

NAME = "journal.snapshot"
WORTH = 32_000_000
"""Bytes of the journal after which a new snapshot pays."""
SCHEME = 1
END = 4096
"""Bytes before the end of what the snapshot covers that have to be the same."""
FEW = ("method", "status", "reason", "files", "versions", "failed")
"""Columns with few different values."""


def save(journal: Path, state: State, reader: Reader) -> None:
    """Write the snapshot of a state, which is that of the journal up to where ``reader`` is."""
    tasks = list(state.tasks.values())
    columns: dict[str, Any] = {
        "id": pa.array(state.tasks.keys(), pa.string()),
        "offset": pa.array([task.offset for task in tasks], pa.int64()),
        "index": pa.array([task.index for task in tasks], pa.int64()),
        "video": pa.array([task.video for task in tasks], pa.int64()),
        "curves": pa.array([task.curves for task in tasks], pa.bool_()),
    }
    for name in FEW:
        encoded: dict[int, str] = {}
        values = [getattr(task, name) for task in tasks]
        texts = [encoded.setdefault(id(value), json.dumps(value)) for value in values]
        columns[name] = pa.array(texts, pa.string()).dictionary_encode()
    about = {
        "scheme": SCHEME,
        "offset": reader.offset,
        "following": reader.following,
        "numbered": reader.numbered,
        "end": _checksum(journal, reader.offset),
        "scored": state.scored,
        "last_kind": state.last_kind,
        "pace": asdict(state.pace),
        "repaired": sorted(state.repaired),
        "places": state.places,
        "sets": [list(key) for key in state.set_rows],
    }
    table = pa.table(columns).replace_schema_metadata({"about": json.dumps(about)})
    file = journal.with_name(NAME)

    def write(temporary: Path) -> None:
        pq.write_table(table, temporary, compression="zstd")
        sealed.seal(temporary, NAME)

    atomically(file, write)


def load(journal: Path) -> tuple[State, Reader] | None:
    """The state of the snapshot and a reader that goes on where it ends; None if there is none for this journal."""
    try:
        table = pq.read_table(pa.BufferReader(sealed.content(journal.with_name(NAME), NAME)))
        about = json.loads(table.schema.metadata[b"about"])
        if about["scheme"] != SCHEME or about["end"] != _checksum(journal, about["offset"]):
            return None
        state = State()
        places: dict[str, list[int]] = about["places"]
        for line in lines.at(journal, sorted(place for kind in places for place in places[kind])):
            state.apply(line)
        state.tasks = _tasks(table, state)
        state.set_rows = {key: state.set_rows[key] for key in map(tuple, about["sets"])}
        state.scored, state.last_kind, state.repaired = about["scored"], about["last_kind"], set(about["repaired"])
        state.pace = Pace(**about["pace"])
        return state, Reader(journal, about["offset"], about["following"], about["numbered"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tasks(table: pa.Table, state: State) -> dict[str, TaskState]:
    few: dict[str, list[Any]] = {}
    for name in FEW:
        column = table[name].combine_chunks()
        words = [state.one(json.loads(word)) for word in column.dictionary.to_pylist()]
        few[name] = [words[place] for place in column.indices.to_pylist()]
    many = {name: table[name].to_pylist() for name in ("offset", "index", "video", "curves")}
    columns = [(few | many)[name] for name in TaskState.__dataclass_fields__]
    with uncollected():
        return {id: TaskState(*values) for id, *values in zip(table["id"].to_pylist(), *columns, strict=True)}


def _checksum(journal: Path, offset: int) -> int:
    """Of the last bytes before ``offset``."""
    with journal.open("rb") as file:
        file.seek(max(offset - END, 0))
        content = file.read(min(offset, END))
    return zlib.crc32(content) if len(content) == min(offset, END) else -1
