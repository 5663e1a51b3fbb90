"""A committed table: three files with one name.

``x.csv``
    What a reviewer reads: counts, the deciding metrics with their intervals, and as many other columns as fit.
``x.parquet``
    What a test needs: a row for each method, seed, video and goal with all scores, content hashes, and the features of
    the deciding set metrics in float16 (an ``.npy`` file per cell, in the first row with the video). The metadata of
    its schema holds the whole leaderboard as CSV.
``x.json``
    Where the values come from, ``baseline.Description``.

The description holds a hash of all three, so that a table that was damaged or edited is not taken for another result.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.results.gate import deciding
from vcfe_bench.results.gate.baseline import RECORD_COLUMNS, SCHEME, Description, FeaturesByHash, Result, of_run
from vcfe_bench.runs.configuration import short_hash
from vcfe_bench.runs.records import ScoredCard

COLUMNS = 25
"""Most columns of the ``.csv`` file."""
COSTS = ("calls", "reasons", "seconds")
"""Columns of the ``.csv`` file that come last."""
LARGEST = 5_000_000
"""Most bytes of the ``.parquet`` file."""
LEADERBOARD = b"leaderboard"
"""Key of the schema's metadata."""
SIDES = {"video_sha256": "features of counterfactuals", "original_sha256": "features of originals"}
"""Columns with a hash, and the first words of the columns with the features of the video."""
_DESCRIPTION: TypeAdapter[Description] = TypeAdapter(Description)


def read(path: Path) -> Result:
    """A baseline: the directory of a run, or a committed table.

    Raises:
        UsageError: neither; a file is missing, damaged, or edited in more than ``deciding``.
    """
    if path.is_dir():
        return of_run(path)
    try:
        content = json.loads(_text(path.with_suffix(".json"), path))
        if not isinstance(content, dict) or content.get("scheme") not in (1, SCHEME):
            raise ValueError(f"{path.with_suffix('.json').name} is not a description of scheme 1 or {SCHEME}")
        about = _DESCRIPTION.validate_python(content)
        about = replace(about, seeds=about.seeds or (about.configuration.seed,))
        if about.configuration_hash != short_hash(content["configuration"]):
            raise ValueError("the configuration is not that of its hash")
        if about.scheme == 1 and about.seal:
            raise ValueError("a table of scheme 1 has no seal")
        result = _old(path, about) if about.scheme == 1 else _sealed(path, about, content)
        if tuple(result.frame["method"]) != about.methods or len(set(about.methods)) < len(about.methods):
            raise ValueError("the methods are not those of the table")
        return replace(result, about=replace(about, deciding=deciding.checked(result.about.deciding, about.metrics)))
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except UsageError:
        raise
    except Exception as error:  # pandas and pyarrow raise exceptions of many kinds for damaged files
        message = describe(error)
    raise UsageError(f"the baseline {path} cannot be read: {message}; {_how_to_write(path)}")


def write(result: Result, path: Path) -> None:
    """Write the three files of a committed table.

    Raises:
        UsageError: not the name of a csv file, it cannot be written, a method that decides has no features, or they
            take too much space.
    """
    if path.suffix != ".csv" or path.is_dir():
        raise UsageError(f"--update writes a .csv file, not {path}")
    assert result.records is not None
    cards = tuple(card for card in result.about.metrics if not card.unavailable)
    chosen = deciding.checked(_chosen_before(path) or result.about.deciding, cards)
    table = summary(result.frame, cards, chosen).to_csv(index=False)
    values = _values(result, [card for card in cards if card.name in chosen and card.level == "set"])
    about = replace(result.about, metrics=cards, deciding=chosen, seal="")
    content = {**asdict(about), "configuration": about.configuration.write()}
    content["seal"] = _seal(table, values, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".parquet").write_bytes(values)
        path.write_text(table, encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def summary(frame: pd.DataFrame, cards: Sequence[ScoredCard], chosen: Sequence[str]) -> pd.DataFrame:
    """At most ``COLUMNS`` columns of a leaderboard, those of the deciding metrics ``chosen`` first."""
    counts = [name for name in ("method", "n", "answered", "failed", "skipped") if name in frame]
    bounds = [f"{name}_{bound}" for name in chosen for bound in ("low", "high")]
    others = [card.name for card in cards if card.name not in chosen]
    kept = [name for name in (*counts, *chosen, *bounds, *COSTS, *others) if name in frame]
    within = set(kept[:COLUMNS])
    pairs = [name for metric in chosen for name in (metric, f"{metric}_low", f"{metric}_high")]
    return frame[[name for name in (*counts, *pairs, *others, *COSTS) if name in within]]


def _values(result: Result, set_cards: Sequence[ScoredCard]) -> bytes:
    records = result.records
    assert records is not None
    columns: dict[str, Any] = {str(name): records[name] for name in records}
    for network in dict.fromkeys(str(card.network) for card in set_cards):
        features = result.features(network)
        for hashes, side in SIDES.items():
            first = records[hashes].fillna("").where(~records[hashes].duplicated(), "")
            columns[f"{side}: {network}"] = [_packed(features.get(sha256)) for sha256 in first]
    table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
    table = table.replace_schema_metadata({LEADERBOARD: result.frame.to_csv(index=False).encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    if len(sink.getvalue()) > LARGEST:
        raise UsageError(
            f"the values of single videos take {len(sink.getvalue()):,} bytes, more than {LARGEST:,}: let fewer set "
            "metrics decide ('deciding' in the .json file), or run fewer videos or methods"
        )
    return sink.getvalue()


def _packed(features: np.ndarray | None) -> bytes | None:
    if features is None:
        return None
    np.save(sink := io.BytesIO(), features.astype(np.float16), allow_pickle=False)
    return sink.getvalue()


def _sealed(path: Path, about: Description, content: Mapping[str, Any]) -> Result:
    """A table of the present scheme."""
    table, values = _text(path, path), _bytes(path.with_suffix(".parquet"), path)
    if about.seal != _seal(table, values, {**content, "seal": ""}):
        raise ValueError("its files do not belong together, or were edited")
    stored = pq.read_table(io.BytesIO(values))
    frame = _leaderboard(stored.schema.metadata[LEADERBOARD], about.metrics)
    names = [card.name for card in about.metrics if card.level == "sample" and card.name in stored.column_names]
    if "seed" not in stored.column_names:
        stored = stored.append_column("seed", pa.array([about.configuration.seed] * len(stored)))
    records = stored.select([*RECORD_COLUMNS, *names]).to_pandas().astype(RECORD_COLUMNS)

    @cache
    def features(network: str) -> FeaturesByHash:
        return dict(_unpacked(stored, network))

    return Result(frame, about, records, features)


def _unpacked(stored: pa.Table, network: str) -> Iterator[tuple[str, np.ndarray]]:
    for hashes, side in SIDES.items():
        name = f"{side}: {network}"
        cells = stored[name].to_pylist() if name in stored.column_names else []
        for sha256, cell in zip(stored[hashes].to_pylist() if cells else [], cells, strict=True):
            if cell is not None:
                yield sha256, np.load(io.BytesIO(cell), allow_pickle=False)


def _old(path: Path, about: Description) -> Result:
    """A table of scheme 1: a leaderboard with all its columns, without the values of single videos."""
    frame = _leaderboard(_bytes(path, path), about.metrics)
    return Result(frame, replace(about, deciding=deciding.default(about.metrics)))


def _leaderboard(content: bytes, cards: Sequence[ScoredCard]) -> pd.DataFrame:
    """A leaderboard from CSV; pyarrow reads floats exactly.

    Raises:
        KeyError, ValueError: a column of a metric is missing or has other values than numbers.
    """
    frame = pd.read_csv(io.BytesIO(content), engine="pyarrow")
    for card in cards:
        for part in ("", "_low", "_high") if card.level and not card.unavailable else ():
            frame[card.name + part] = pd.to_numeric(frame[card.name + part])
    return frame


def _seal(table: str, values: bytes, content: Mapping[str, Any]) -> str:
    description = json.dumps({name: content[name] for name in sorted(content) if name != "deciding"}, sort_keys=True)
    parts = [hashlib.sha256(part).hexdigest() for part in (table.encode(), values, description.encode())]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _chosen_before(path: Path) -> tuple[str, ...]:
    """The deciding metrics of the table that is replaced; empty if there is none that can be read."""
    try:
        names = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["deciding"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _text(file: Path, table: Path) -> str:
    """With the line ends that ``write`` gave it, whatever git made of them."""
    return _bytes(file, table).decode("utf-8").replace("\r\n", "\n")


def _bytes(file: Path, table: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{file} is missing: {_how_to_write(table)}") from None


def _how_to_write(path: Path) -> str:
    return f"write it again with vcfe-bench check RUN --against {path.with_suffix('.csv')} --update"
