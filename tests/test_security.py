"""Texts of strangers reach neither a terminal as escape sequences nor a page as HTML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.toys import ask
from vcfe_bench.core.errors import describe
from vcfe_bench.core.text import in_markdown, printable
from vcfe_bench.results import leaderboard
from vcfe_bench.results.writers import WRITERS
from vcfe_bench.workflows import run as workflow


@given(st.text())
def test_printable_text_is_one_line_that_no_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()
    assert describe(ValueError(text)).isprintable()
    assert printable(printable(text)) == printable(text)


@given(st.text("ab |<>&\n\x1b"))
def test_no_text_ends_a_cell_or_starts_a_tag(text: str) -> None:
    shown = in_markdown(text)
    assert "<" not in shown
    assert "\n" not in shown
    assert shown.replace("\\|", "").count("|") == 0


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labelled") / "run"
    label = json.dumps("<img src=x onerror=alert(1)> \x1b[31m|")
    return workflow.run(ask(f"toy_push[steps=1,label={label}]", limit=2), out, ("toy_flip",))


@pytest.mark.parametrize("name", ["rich", "md", "html"])
def test_tables_show_names_of_methods_as_text(labelled: Path, name: str) -> None:
    text = WRITERS[name](leaderboard.load(labelled))
    assert "onerror=alert(1)" in text.replace("\n", "") or name == "rich"
    assert "\x1b[31m" not in text
    assert name == "rich" or "<img" not in text
