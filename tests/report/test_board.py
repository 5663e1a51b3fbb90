"""The public leaderboard: its data from the committed tables, and its pages in a real browser."""

from __future__ import annotations

import functools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from html import unescape
from http.server import ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.report.test_browser import Quiet, browser
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.registry import METHODS
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


def test_the_first_pages_lead_to_the_rules_in_one_click() -> None:
    for file, target in (("README.md", "docs/how-to-compete.md"), ("docs/index.md", "how-to-compete.md")):
        text = (ROOT / file).read_text(encoding="utf-8").lower()
        assert f"how do i get my method in?]({target})" in text


def test_a_table_without_budget_or_chance_says_so(boards: list[tables.Board]) -> None:
    quick = next(table for board in boards for table in board.tables if table.name == "shape_moving_quick")
    assert quick.unmet == (
        "has no budget that all methods share",
        "has no row bttf, random_draws, nearest_draw",
        "is about 8 videos, not 64",
    )
    assert "no common budget" in quick.title.lower()


def test_an_older_table_has_the_columns_that_are_shown_without_values(boards: list[tables.Board]) -> None:
    old = next(table for board in boards for table in board.tables if table.result.about.scheme == 1)
    assert "calls" not in old.result.frame
    frame = old.leaderboard().frame
    assert frame["calls"].isna().all()
    assert (frame["answered"] == old.result.frame["n"] - old.result.frame["failed"]).all()


def texts(html: str) -> list[list[str]]:
    """The cells of the rows of the first table in a page."""
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    cells = (re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", body))
    return [[" ".join(re.sub(r"<.*?>", " ", cell).split()) for cell in row] for row in cells]


@pytest.fixture(scope="module")
def written() -> dict[str, str | bytes]:
    return dict(public.pages(FOLDER, ROOT / "docs"))


def test_pages_have_the_numbers_of_the_tables(written: dict[str, str | bytes], boards: list[tables.Board]) -> None:
    for board in boards:
        page = str(written[f"leaderboard/{board.page}.md"])
        shown, place = texts(page), re.findall(r"<button.*?>(.*?)</button>", page).index("FR ↑")
        frame = board.tables[0].result.frame.set_index("method")
        shown = [row for row in shown if not row[0].startswith("floor")]
        assert set(frame.index[frame["n"] > 0]) <= {row[0] for row in shown} <= set(frame.index)
        for cells in shown:
            if cells[place] not in ("-", "–"):
                value, low, high = (float(text) for text in re.findall(r"[\d.]+", cells[place]))
                row = frame.loc[cells[0], ["FR", "FR_low", "FR_high"]].astype(float)
                assert (value, low, high) == pytest.approx(tuple(row), abs=0.0051)


def test_files_of_every_table_can_be_downloaded(written: dict[str, str | bytes]) -> None:
    for name in COMMITTED:
        assert written[f"leaderboard/{name}.csv"] == (FOLDER / f"{name}.csv").read_bytes()
        assert json.loads(written[f"leaderboard/{name}.json"])["configuration"]


def test_published_numbers_stand_alongside_ours() -> None:
    (paper,) = (each for each in published.read(FOLDER) if each.file == "bttf_table_s3.csv")
    ours = pd.DataFrame(
        {"method": ["bttf[steps=4]", "pgd"], "FR": [0.875, 1.0], "SSIM": [0.8, 0.9], "FID(st-vgg)": 2.0}
    )
    found = published.alongside(paper, FOLDER, ours)
    assert found.columns == ("FR", "SSIM", "LPIPS", "FID", "FVD")
    place = next(place for place, side in enumerate(found.sides) if side.method == "BTTF")
    assert found.sides[place].cells == ("0.97", "0.95", "0.20", "27.49", "250.11")
    assert found.sides[place + 1] == published.Side("bttf[steps=4]", False, ("0.88", "0.80", "", "2.00", ""))
    assert not any(side.method == "pgd" for side in found.sides)


def test_the_card_of_a_built_in_method_names_paper_code_and_parameters(boards: list[tables.Board]) -> None:
    known = method_pages(ROOT / "docs")
    found = {card.method: card for board in boards for card in cards(board, known)}
    card = found["bttf[style=false]"]
    assert card.page is not None
    assert "arXiv 2511.20295" in card.page.paragraph
    assert card.code == "vcfe-bench, vcfe_methods.bttf.BTTF"
    assert card.parameters["style"] == "false"
    assert card.parameters["steps"] == specs.format_value(METHODS.load("bttf").Params().steps)
    assert card.picture == "images/bttf.png"
    assert all("the maintainers" in line for line in card.ran)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[a](b)", "**x** | `y`", "a_b & {c}"])
def test_text_of_others_is_shown_as_it_is(text: str) -> None:
    markdown = pytest.importorskip("markdown")
    shown = markdown.markdown(f"| a |\n|---|\n| {public.plain(text)} |", extensions=["tables", "attr_list"])
    cell = re.search(r"<td>(.*)</td>", shown)
    assert cell is not None
    assert "<" not in cell[1]
    assert unescape(cell[1]) == text


def test_a_table_that_was_edited_is_refused(tmp_path: Path) -> None:
    for file in FOLDER.glob("shape_moving_quick.*"):
        shutil.copy(file, tmp_path)
    table = tmp_path / "shape_moving_quick.csv"
    table.write_text(table.read_text().replace("pgd,8,8", "pgd,8,7"))
    with pytest.raises(UsageError, match="were edited"):
        tables.read(tmp_path)


@pytest.fixture(scope="module")
def address(written: dict[str, str | bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages as the site shows them, without those that come from elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs" / "images", folder / "docs" / "images")
    own = ("how-to-compete.md", "upgrading.md", "site.css", "site.js")
    content = {name: (ROOT / "docs" / name).read_bytes() for name in own} | written
    content |= {f"methods/{path.name}": path.read_bytes() for path in (ROOT / "docs" / "methods").glob("*.md")}
    for name, text in content.items():
        (folder / "docs" / name).parent.mkdir(exist_ok=True)
        (folder / "docs" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    places = {"docs_dir": str(folder / "docs"), "site_dir": str(folder / "site")}
    config = load_config(str(ROOT / "mkdocs.yml"), **places, hooks=[], plugins=["search"], nav=None)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda response: problems.append(response.url) if response.status >= 400 else None)
    yield page
    page.close()
    assert problems == []


@pytest.mark.slow
def test_tables_are_sorted_by_value(page: Page, address: str) -> None:
    page.goto(f"{address}/leaderboard/shape_moving_m_swin.html")
    table = page.locator("table.summary").last
    place = table.locator("thead button").all_inner_texts().index("SSIM ↑")
    for sign in (-1, 1):
        table.get_by_role("button", name="SSIM ↑").click()
        cells = [row.split() for row in table.locator(f"tbody tr td:nth-child({place + 1})").all_inner_texts()]
        values = [sign * float(cell[0]) for cell in cells if cell and cell[0] not in ("-", "–")]
        assert len(values) > 5
        assert values == sorted(values)
    assert "structure" in page.locator(".about").last.inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_pages_have_no_serious_findings_and_are_one_click_from_the_rules(
    page: Page, address: str, boards: list[tables.Board], size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for name in ("leaderboard", *(f"leaderboard/{board.page}" for board in boards)):
        page.goto(f"{address}/{name}.html")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        found = Axe().run(page).response["violations"]
        assert [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        missing = page.evaluate(
            "[...document.querySelectorAll('article a[href^=\"#\"]')].map(a => a.hash.slice(1))"
            ".filter(id => id && !document.getElementById(id))"
        )
        assert missing == []
        page.locator("article").get_by_role("link", name="How do I get my method in?").click()
        assert page.url == f"{address}/how-to-compete.html"
