"""The report in a real browser."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.worlds import HOSTILE, PUSH, grown, lights, with_boxes
from vcfe_bench.report import site
from vcfe_bench.runs.run_directory import RunDirectory

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPENING = 3.0
"""Seconds within which a report of 500 records has to open."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = own if Path(own).exists() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None:
            pytest.skip("no Chromium is installed: playwright install chromium, or apt-get install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("browser") / "run"
    return with_boxes(lights(out, PUSH, f"toy_push[label={HOSTILE}]", "toy_fragile"), "toy_push[rate=60.0,steps=2]")


@pytest.fixture(scope="module")
def address(finished: Path) -> str:
    return site.write([finished], finished.parent / "report").resolve().as_uri()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must neither log errors nor fail to load anything."""
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    yield page
    page.close()
    assert problems == []


@pytest.fixture
def opened(page: Page, address: str) -> Page:
    page.goto(address)
    return page


def shown(page: Page, name: str) -> list[str]:
    """A field of the items in the gallery, in their order."""
    values = page.evaluate("name => [...document.querySelectorAll('.record')].map(e => data.items[e.id][name])", name)
    return list(values)


def painted(page: Page, frame: int) -> None:
    page.wait_for_function("frame => document.querySelector('.record').dataset.frame === String(frame)", arg=frame)


def test_canvases_hold_the_stored_pixels_and_their_difference(page: Page, finished: Path, address: str) -> None:
    folder = finished.parent / "report"
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.select_option("[name=method]", "reconstruction")
        page.locator("#frame").fill("3")
        page.locator(".record").first.scroll_into_view_if_needed()
        painted(page, 3)
        id = page.locator(".record").first.get_attribute("id")
        pixels = page.evaluate(
            """() => [...document.querySelector('.record').querySelectorAll('canvas')].map((canvas) => {
              const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
              const scale = canvas.width / 12;
              return [...Array(12 * 12).keys()].map((place) => {
                const [y, x] = [Math.floor(place / 12), place % 12].map((at) => Math.floor((at + 0.5) * scale));
                return [0, 1, 2].map((colour) => data[4 * (y * canvas.width + x) + colour]);
              });
            })"""
        )
    finally:
        server.shutdown()
        server.server_close()
    store = RunDirectory(finished)
    record = store.table("records.parquet").set_index("id").loc[id]
    original, counterfactual = (store.video(record[name])[3].numpy().astype(int) for name in ("original", "video"))
    frames = (original, counterfactual, abs(original - counterfactual))
    for canvas, frame in zip(pixels, frames, strict=True):
        assert np.array_equal(np.array(canvas).reshape(12, 12, 3).transpose(2, 0, 1), frame)


def test_it_plays_pauses_and_steps(opened: Page) -> None:
    opened.locator(".record").first.scroll_into_view_if_needed()
    painted(opened, 0)
    opened.click("#next")
    opened.click("#next")
    painted(opened, 2)
    assert opened.locator("#at").inner_text() == "3 of 5"
    opened.click("#previous")
    painted(opened, 1)
    opened.select_option("#speed", "4")
    opened.click("#play")
    assert opened.locator("#play").get_attribute("aria-pressed") == "true"
    opened.wait_for_function("(window.seen ??= new Set()).add(player.frame).size === 5")
    frames = opened.evaluate("() => { go(player.frame); return [...near].map(r => r.article.dataset.frame); }")
    assert len(frames) > 1
    assert len(set(frames)) == 1, "all videos in view are at the same frame"
    opened.click("#play")
    still = opened.evaluate("player.frame")
    opened.wait_for_timeout(150)
    assert opened.evaluate("player.frame") == still


def test_speed_is_that_of_the_video(opened: Page) -> None:
    opened.select_option("#speed", "0.5")
    start = opened.evaluate("() => { play(false); go(0); play(true); return performance.now(); }")
    opened.wait_for_function("player.frame === 4")
    seconds = (opened.evaluate("performance.now()") - start) / 1000
    assert 4 / (12.5 * 0.5) <= seconds < 5 / (12.5 * 0.5) + 0.2


def test_keys_work_within_the_gallery_alone(opened: Page) -> None:
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("player.frame") == 0
    opened.locator(".record a").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        opened.keyboard.press(key)
    assert opened.evaluate("player.frame") == 1
    opened.keyboard.press("j")
    ids = opened.evaluate("[...document.querySelectorAll('.record')].map(e => e.id)")
    assert opened.evaluate("document.activeElement.id") == ids[1]
    opened.keyboard.press("k")
    assert opened.evaluate("document.activeElement.id") == ids[0]
    opened.keyboard.press(" ")
    assert opened.evaluate("player.playing")


def test_tables_are_sorted_by_value(opened: Page) -> None:
    table = opened.locator("table.sortable", has=opened.get_by_role("button", name="change ↓"))
    names = table.locator("thead button").all_inner_texts()
    column = names.index("change ↓")
    for order in ("ascending", "descending"):
        table.get_by_role("button", name="change ↓").click()
        assert table.locator("thead th").nth(column).get_attribute("aria-sort") == order
        cells = [row.locator("th, td").nth(column).inner_text() for row in table.locator("tbody tr").all()]
        values = [float(cell.split()[0].replace(",", "")) for cell in cells]
        assert values == sorted(values, reverse=order == "descending")
    table.get_by_role("button", name="method").click()
    methods = table.locator("tbody th").all_inner_texts()
    assert methods == sorted(methods, key=str.lower)


def test_filters_and_order(opened: Page, finished: Path) -> None:
    records = RunDirectory(finished).table("records.parquet").query("status == 'ok'")
    opened.select_option("[name=method]", "true_edit")
    assert shown(opened, "method") == ["true_edit"] * 6
    opened.select_option("[name=method]", "")
    opened.select_option("[name=met]", "true")
    opened.select_option("[name=semantic]", "false")
    wanted = records[records["met"] & (records["semantic_FR"] == 0)]
    assert shown(opened, "id") == wanted["id"].tolist()
    opened.click("button[type=reset]")
    opened.wait_for_function("count => document.querySelectorAll('.record').length === count", arg=len(records))
    for first, ascending in (("best", True), ("worst", False)):
        opened.select_option("[name=sort]", "change")
        opened.select_option("[name=first]", first)
        expected = records.sort_values("change", ascending=ascending, kind="stable", na_position="last")
        assert shown(opened, "id") == expected["id"].tolist()
    assert opened.locator("#count").inner_text() == f"{len(records)} of {len(records)}"


def test_two_methods_are_shown_side_by_side(opened: Page) -> None:
    opened.select_option("[name=left]", "true_edit")
    opened.select_option("[name=right]", "no_edit")
    assert shown(opened, "method") == ["true_edit", "no_edit"] * 6
    questions = shown(opened, "question")
    assert questions[::2] == questions[1::2]
    boxes = [opened.locator(".record").nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]


def test_an_address_with_a_record_leads_to_it_even_when_it_is_filtered_away(opened: Page, address: str) -> None:
    opened.select_option("[name=method]", "true_edit")
    id = opened.evaluate("records.find(r => r.item.method === 'no_edit').article.id")
    opened.evaluate("id => { location.hash = id; }", id)
    opened.locator(f"[id='{id}']").wait_for()
    assert opened.locator(f"[id='{id}']").evaluate("e => e.getBoundingClientRect().top < innerHeight")


def test_boxes_are_drawn_where_they_are(browser: Browser, page: Page, address: str) -> None:
    page.goto(address)
    page.select_option("[name=method]", "toy_push[rate=60.0,steps=2]")
    page.locator(".record").first.scroll_into_view_if_needed()
    page.locator("#frame").fill("1")
    painted(page, 1)
    with_them = page.locator(".record canvas").first.screenshot()
    page.uncheck("#boxes")
    assert page.locator(".record canvas").first.screenshot() != with_them
    page.locator("#frame").fill("0")
    painted(page, 0)
    without = page.locator(".record canvas").first.screenshot()
    page.check("#boxes")
    assert page.locator(".record canvas").first.screenshot() == without, "there is no box in the first frame"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_colour_schemes(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground, text = (
        page.evaluate(f"getComputedStyle(document.body).{name}.match(/[0-9]+/g).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(ground) > sum(text)) == (scheme == "light")
    assert abs(sum(ground) - sum(text)) > 3 * 150
    page.close()


def test_five_hundred_records_open_fast_and_load_what_is_in_view(
    browser: Browser, finished: Path, tmp_path: Path
) -> None:
    run = grown(shutil.copytree(finished, tmp_path / "run"), 500)
    records = pd.read_parquet(run / "records.parquet")
    address = site.write([run], tmp_path / "report").resolve().as_uri()
    times = []
    for _ in range(3):
        page = browser.new_page()
        loaded: list[str] = []
        page.on("request", lambda request, loaded=loaded: loaded.append(request.url))
        start = perf_counter()
        page.goto(address)
        page.wait_for_function("typeof apply === 'function'")
        times.append(perf_counter() - start)
    assert min(times) < OPENING
    count = int((records["status"] == "ok").sum())
    assert page.locator(".record").count() == count > 450
    page.locator(".record").first.scroll_into_view_if_needed()
    painted(page, 0)
    sheets = {url for url in loaded if url.endswith(".png")}
    assert 0 < len(sheets) < 60
    page.locator(".record").last.scroll_into_view_if_needed()
    page.wait_for_function("records.at(-1).article.dataset.frame === '0'")
    assert page.evaluate("records[0].sheets") is None, "videos that are far from view are released"
    page.close()
