"""The table of a ``video_folder``: which videos belong to it, with their labels, splits and frame rates."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text_files import TextTable, read_table
from vcfe_bench.video.timeline import FASTEST, SLOWEST

COLUMNS = ("path", "label", "value", "split", "group", "fps")


@dataclass(frozen=True)
class Row:
    """One video of a table.

    Attributes:
        name: its path relative to the folder of the table, normalised, with ``/`` between its parts.
        path: where it is.
        label: name of its class, or its value.
        split: as in the table, in lower case; empty if the table does not say.
        group: what it has in common with others; may be empty.
        fps: its frame rate; None if the table does not say.
        where: file and line, for messages.
    """

    name: str
    path: Path
    label: str | float
    split: str
    group: str
    fps: float | None
    where: str


def read(file: Path) -> list[Row]:
    """The rows of a CSV file.

    Raises:
        UsageError: it is not a table of videos, lists a video twice, or has a cell that cannot be understood.
    """
    try:
        table = read_table(file, COLUMNS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is not a readable CSV file: {error}") from None
    columns = set(table.columns)
    if unknown := columns - set(COLUMNS):
        raise UsageError(f"{file} has an unknown column {sorted(unknown)[0]}; columns are: {', '.join(COLUMNS)}")
    if "path" not in columns or len(columns & {"label", "value"}) != 1:
        raise UsageError(f"{file} needs the column path and either label or value")
    rows = [_row(file, table, cells, f"{file}, line {number}") for number, cells in table.rows]
    names: set[str] = set()
    for row in rows:
        if row.name in names:
            raise UsageError(f"{file} lists {row.name} more than once")
        names.add(row.name)
    return rows


def _row(file: Path, table: TextTable, cells: dict[str, str], where: str) -> Row:
    if not cells["path"]:
        raise UsageError(f"{where}: the path is empty")
    name = normalised(cells["path"], file.parent)
    label = cells["label"] if "label" in cells else _number(cells["value"], table.decimal_comma, f"{where}: value")
    if label == "":
        raise UsageError(f"{where}: the label is empty")
    fps = _number(cells["fps"], table.decimal_comma, f"{where}: fps") if cells.get("fps") else None
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise UsageError(f"{where}: fps must be from {SLOWEST:g} to {FASTEST:g}, not {fps:g}")
    split, group = cells.get("split", "").casefold(), cells.get("group", "")
    return Row(name, file.parent / name, label, split, group, fps, where)


def normalised(path: str, folder: Path) -> str:
    """A path in one form: ``./a.mp4``, ``x/../a.mp4`` and ``FOLDER/a.mp4`` are ``a.mp4``; ``a\\b.mp4`` is ``a/b.mp4``.

    A backslash separates folders, as on Windows, unless a file of that name exists.
    """
    if "\\" in path and not (folder / path).exists():
        path = path.replace("\\", "/")
    name = os.path.normpath(path)
    if Path(name).is_absolute() and Path(name).is_relative_to(folder.absolute()):
        name = str(Path(name).relative_to(folder.absolute()))
    return Path(name).as_posix()


def _number(text: str, decimal_comma: bool, what: str) -> float:
    try:
        number = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{what} must be a number, not '{text}'")
    return number
