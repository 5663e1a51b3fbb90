"""Numbers in the documentation are those of the tables that they are quoted from."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.quoted import Block, blocks

ROOT = Path(__file__).parents[1]
WHOLE = [ROOT / "README.md", ROOT / "docs" / "findings.md", ROOT / "docs" / "validation.md"]
"""Pages on which every number comes from a table, or is marked as one of no table."""
PAGES = [
    *WHOLE,
    *sorted((ROOT / "docs" / "methods").glob("*.md")),
    *sorted((ROOT / "vcfe_bench" / "models" / "zoo").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quoted_numbers_are_those_of_their_table(page: Path) -> None:
    wrong = [(number, block.tables, block.text) for block in blocks(page) if block.tables for number in block.wrong()]
    assert wrong == []


@pytest.mark.parametrize("page", WHOLE, ids=lambda page: page.stem)
def test_every_number_names_its_table(page: Path) -> None:
    assert [(block.numbers(), block.text) for block in blocks(page) if block.tables is None and block.numbers()] == []


def test_a_changed_number_is_found() -> None:
    """Numbers are replaced by others of the same number of digits, which few cells can have by chance."""
    rng = random.Random(0)
    found = []
    for block in (block for page in WHOLE[:2] for block in blocks(page) if block.tables):
        for number in block.numbers():
            start = block.text.find(number)
            other = re.sub(r"\d", lambda _: str(rng.randrange(1, 10)), number)
            changed = replace(block, text=block.text[:start] + other + block.text[start + len(number) :])
            found.append(other in changed.wrong())
    assert len(found) > 60
    assert sum(found) > 0.75 * len(found)


def test_numbers_are_compared_with_the_methods_and_metrics_of_their_paragraph(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n0.5 of no table.\n\n<!-- numbers: shape_shortcut_clean_swin -->\n\nPGD flips 30 of 32 videos.\n"
        "- PGD flips 26 of 32 videos.\n- BTTF flips 26 of 32 videos; its SSIM is 0.863 (Table 2, p < 0.001).\n\n"
        "<!-- numbers: none -->\n\nThe answer is 0.42.\n",
        encoding="utf-8",
    )
    title_less, right, other_method, both, none = blocks(page)
    assert title_less == Block(page, "0.5 of no table.", None)
    assert (right.numbers(), right.wrong()) == (["30 of 32"], [])
    assert other_method.wrong() == ["26 of 32"]
    assert (both.numbers(), both.wrong()) == (["26 of 32", "0.863"], [])
    assert none.tables == ()
