"""Text and tables of many programs are read alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcfe_bench.core.text_files import read_table, read_text
from vcfe_bench.models.clip_target import read_classes

KNOWN = ("path", "label", "value")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_text_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    (tmp_path / "labels.txt").write_bytes(mark + "Türöffnung\ncafé\n".encode(encoding))
    assert read_text(tmp_path / "labels.txt") == "Türöffnung\ncafé\n"
    assert read_classes(str(tmp_path / "labels.txt")) == ("Türöffnung", "café")


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"a\0b")
    with pytest.raises(ValueError, match="not text"):
        read_text(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp4,falls\nb.mp4,stands\n",
        "path;label\r\na.mp4;falls\r\nb.mp4;stands\r\n",
        "path\tlabel\na.mp4\tfalls\nb.mp4\tstands",
        " Path , LABEL \n a.mp4 , falls \n\nb.mp4,stands\n,,\n",
        "path,label,\na.mp4,falls,\nb.mp4,stands,,\n",
        "path,label\na.mp4,falls,,\nb.mp4,stands,\n",
        '"path","label"\n"a.mp4","falls"\n"b.mp4","stands"\n',
    ],
    ids=["plain", "semicolons", "tabs", "spaces", "trailing commas", "more trailing commas", "quotes"],
)
def test_tables_of_any_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    table = read_table(tmp_path / "list.csv", KNOWN)
    assert table.columns == ("path", "label")
    assert [cells for _, cells in table.rows] == [
        {"path": "a.mp4", "label": "falls"},
        {"path": "b.mp4", "label": "stands"},
    ]
    assert table.decimal_comma == (";" in text)


def test_cells_in_quotes_may_contain_separators(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('path,label\n"a,b.mp4",falls\n')
    assert read_table(tmp_path / "list.csv", KNOWN).rows == ((2, {"path": "a,b.mp4", "label": "falls"}),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no header"),
        ("path,label,path\n", "it has the column path twice"),
        ("path,label\na.mp4,falls\na,b.mp4,falls\n", "line 3 has more cells than the header"),
        ("path,label,\na,b.mp4,falls\n", "line 2 has more cells than the header"),
    ],
)
def test_ambiguous_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "list.csv", KNOWN)
