"""The public leaderboard: its data from the committed tables, and its pages in a real browser."""

from __future__ import annotations

import functools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.report.test_browser import Quiet, browser
from vcfe_bench.core.errors import UsageError
from vcfe_bench.report.board import page as public
from vcfe_bench.report.board import published, tables
from vcfe_bench.report.board.cards import cards
from vcfe_bench.report.board.cards import pages as method_pages

mkdocs = pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
from mkdocs.commands.build import build  # noqa: E402
from mkdocs.config import load_config  # noqa: E402

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "leaderboards"
COMMITTED = sorted(path.stem for path in FOLDER.glob("*.csv"))
__all__ = ["browser"]


@pytest.fixture(scope="module")
def boards() -> list[tables.Board]:
    return tables.read(FOLDER)


def test_every_committed_table_stands_on_the_page_of_its_dataset_and_target(boards: list[tables.Board]) -> None:
    members = [table for board in boards for table in board.tables]
    assert sorted(table.name for table in members) == COMMITTED
    assert len({board.page for board in boards}) == len(boards)
    for board in boards:
        worlds = {(table.made.dataset, table.made.target.spec) for table in board.tables}
        assert worlds == {(board.dataset, board.target)}
        kept = [not table.unmet for table in board.tables]
        assert kept == sorted(kept, reverse=True)


def test_a_table_without_budget_or_chance_says_so(boards: list[tables.Board]) -> None:
    quick = next(table for board in boards for table in board.tables if table.name == "shape_moving_quick")
    assert quick.unmet == (
        "has no budget that all methods share",
        "has no row bttf, random_draws, nearest_draw",
        "is about 8 videos, not 64",
    )
    assert "no common budget" in quick.title.lower()
