"""The gallery's data as files that a page loads when it needs them, from disk too, where ``fetch`` does not work.

Each file is a script that calls ``receive(name, value)``.

==================  ==================================================================================================
``page-<k>``        ``PAGE`` rows of the gallery
``index``           what rows can be filtered by: a column of each field, with a list per method for the answers
``score-<k>``       the values of one metric: a list of numbers per method, null where there is none
==================  ==================================================================================================
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vcfe_bench.figures.labels import goal_label, prediction_label
from vcfe_bench.report import gallery
from vcfe_bench.report.gallery import SEMANTIC_FLIP, Row, World

FOLDER = "data"
PAGE = 24
"""Rows per file."""
DIGITS = 5
"""Significant digits of values that rows are sorted by."""


def write(name: str, value: Any, root: Path) -> None:
    """Write a file of data."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (root / FOLDER / f"{name}.js").write_text(f"receive({json.dumps(name)},{text});\n", encoding="utf-8")


def write_pages(rows: Iterable[Row], root: Path) -> list[Any]:
    """Write all rows, a page at a time, and return the first page."""
    first: list[Any] = []
    left = iter(rows)
    pages = iter(lambda: list(itertools.islice(left, PAGE)), [])
    for place, page in enumerate(pages):
        content = [dataclasses.asdict(row) for row in page]
        first = first or content
        write(f"page-{place}", content, root)
    return first


def write_columns(worlds: Sequence[World], methods: Sequence[str], metrics: Sequence[str], root: Path) -> int:
    """Write the index and the values of metrics, and return the number of rows."""
    columns = [_Columns(worlds, methods, name) for name in ("met", SEMANTIC_FLIP)]
    fields = [
        (place, prediction_label(first["prediction"], world.classes), goal_label(goal, world.classes))
        for place, world in enumerate(worlds)
        for (_, goal), first in _firsts(world)
    ]
    names = ("world", "prediction", "goal")
    index = {name: list(column) for name, column in zip(names, zip(*fields, strict=True), strict=True)}
    write("index", {**index, "met": columns[0].lists(), "semantic": columns[1].lists()}, root)
    for place, metric in enumerate(metrics):
        write(f"score-{place}", _Columns(worlds, methods, metric).lists(), root)
    return len(fields)


def _firsts(world: World) -> Iterable[tuple[tuple[int, str], dict[str, Any]]]:
    table = world.records.drop_duplicates(["index", "goal"])
    return zip(gallery.questions(world), table[["prediction"]].to_dict("records"), strict=True)  # type: ignore[arg-type]


class _Columns:
    """The values of one column of the records, as an array ``[method, row]``; NaN where there is none."""

    def __init__(self, worlds: Sequence[World], methods: Sequence[str], name: str) -> None:
        parts = []
        places = {method: place for place, method in enumerate(methods)}
        for world in worlds:
            rows = {question: place for place, question in enumerate(gallery.questions(world))}
            values = np.full((len(methods), len(rows)), math.nan)
            done = world.done
            if name in done:
                lines = done["method"].map(places).to_numpy()
                across = [rows[key] for key in zip(done["index"], done["goal"], strict=True)]
                values[lines, across] = done[name].astype(float)
            parts.append(values)
        self.values = np.concatenate(parts, axis=1)

    def lists(self) -> list[list[float | None]]:
        return [[_short(value) for value in line] for line in self.values.tolist()]


def _short(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(f"{value:.{DIGITS}g}")
