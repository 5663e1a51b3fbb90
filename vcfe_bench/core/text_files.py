"""Text and tables as people's programs write them: byte order marks, encodings, separators, empty cells."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and the encodings that they announce; the longer mark of UTF-32 comes first."""
WINDOWS = "cp1252"
"""Encoding of text that is not UTF-8, as Windows programs write it in Western Europe and America."""
SEPARATORS = ",;\t"


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        columns: names in the header, in lower case.
        rows: cells by column, with the number of the line in the file.
        decimal_comma: whether cells are separated by semicolons, as where a comma separates decimals.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    decimal_comma: bool


def read_text(path: Path) -> str:
    """The text of a file without its byte order mark: in the encoding of the mark, in UTF-8 or else in ``WINDOWS``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not text.
    """
    data = path.read_bytes()
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:
        raise ValueError("not text: it contains zero bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(WINDOWS, errors="replace")


def read_table(path: Path, known: Collection[str]) -> TextTable:
    """A table with a header, separated by whichever of ``SEPARATORS`` gives most of the ``known`` columns.

    Cells lose spaces around them. Empty lines, and empty cells beyond the header, are ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not text, has no header, a column twice, or a line with more cells than the header.
    """
    text = read_text(path)
    tables = [(separator, _cells(text, separator)) for separator in SEPARATORS]
    separator, lines = max(tables, key=lambda table: len(set(known) & set(_header(table[1]))))
    columns = _header(lines)
    if not any(columns):
        raise ValueError("it has no header")
    repeated = [name for name in columns if name and columns.count(name) > 1]
    if repeated:
        raise ValueError(f"it has the column {repeated[0]} twice")
    rows = []
    for number, cells in lines[1:]:
        surplus = [cell for cell, name in zip(cells, columns, strict=False) if cell and not name] + cells[
            len(columns) :
        ]
        if any(surplus):
            raise ValueError(f"line {number} has more cells than the header: put quotes around a cell with a separator")
        padded = cells + [""] * (len(columns) - len(cells))
        rows.append((number, {name: cell for name, cell in zip(columns, padded, strict=False) if name}))
    return TextTable(tuple(filter(None, columns)), tuple(rows), separator == ";")


def _header(lines: list[tuple[int, list[str]]]) -> list[str]:
    return [cell.casefold() for cell in lines[0][1]] if lines else []


def _cells(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Cells of the lines that are not empty, with the numbers of the lines."""
    reader = csv.reader(text.splitlines(), delimiter=separator)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return [(number, cells) for number, cells in lines if any(cells)]
