"""The report in a real browser."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.worlds import HOSTILE, PUSH, lights, with_boxes
from vcfe_bench.report import site
from vcfe_bench.runs.run_directory import RunDirectory

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPENING = 3.0
"""Seconds within which a report of any size has to open."""
PUSHED = "toy_push[rate=60.0,steps=2]"


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
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    yield page
    page.close()
    assert problems == []


@pytest.fixture
def opened(page: Page, address: str) -> Page:
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    page.locator(".record").first.wait_for()
    return page


def samples(page: Page) -> list[str]:
    """The videos in the gallery, in their order."""
    page.wait_for_function("gallery.added === gallery.chosen.length && list.children.length === gallery.added")
    return page.locator(".record h3").all_inner_texts()


def select(page: Page, name: str, value: str) -> None:
    """Choose a value in the form, and wait until the list follows."""
    page.evaluate("document.querySelector('details.filters').open = true")
    before = page.evaluate("gallery.change")
    page.select_option(f"[name={name}]", value)
    page.wait_for_function("before => gallery.change > before", arg=before)


def expected(records: pd.DataFrame) -> list[str]:
    return list(records.drop_duplicates("sample")["sample"])


def painted(page: Page, frame: int) -> None:
    page.wait_for_function("frame => document.querySelector('.record').dataset.frame === String(frame)", arg=frame)


def test_canvases_hold_the_stored_pixels_and_their_difference(page: Page, finished: Path, address: str) -> None:
    folder = finished.parent / "report"
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page.emulate_media(reduced_motion="reduce")
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.locator("#frame").fill("3")
        painted(page, 3)
        sample = page.locator(".record h3").first.inner_text()
        shown = {differences: canvases(page, differences) for differences in (False, True)}
    finally:
        server.shutdown()
        server.server_close()
    records = RunDirectory(finished).table("records.parquet").query("method == 'reconstruction'")
    record = records[records["sample"] == sample].iloc[0]
    store = RunDirectory(finished)
    original, counterfactual = (store.video(record[name])[3].numpy().astype(int) for name in ("original", "video"))
    assert np.array_equal(shown[False]["original"], original)
    assert np.array_equal(shown[False][record["id"]], counterfactual)
    assert np.array_equal(shown[True]["original"], original)
    assert np.array_equal(shown[True][record["id"]], abs(original - counterfactual))


def canvases(page: Page, differences: bool) -> dict[str, np.ndarray]:
    """Pixels ``[3, 12, 12]`` of the first row by id of the answer, and of its original."""
    page.set_checked("#boxes", False)
    page.set_checked("#differences", differences)
    page.wait_for_function(
        "d => document.getElementById('list').classList.contains('differing') === d", arg=differences
    )
    painted(page, 3)
    found = page.evaluate(
        """() => [...document.querySelector('.record').querySelectorAll('canvas')].map((canvas) => {
              const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
              const scale = canvas.width / 12;
              const pixels = [...Array(12 * 12).keys()].map((place) => {
                const [y, x] = [Math.floor(place / 12), place % 12].map((at) => Math.floor((at + 0.5) * scale));
                return [0, 1, 2].map((colour) => data[4 * (y * canvas.width + x) + colour]);
              });
              return [canvas.parentElement.id || 'original', pixels];
            })"""
    )
    return {name: np.array(pixels).reshape(12, 12, 3).transpose(2, 0, 1) for name, pixels in found}


def test_it_plays_pauses_and_steps(opened: Page) -> None:
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
    select(opened, "by", PUSHED)
    select(opened, "met", "1")
    pushed = records[records["method"] == PUSHED]
    assert samples(opened) == expected(pushed[pushed["met"]])
    select(opened, "met", "")
    select(opened, "semantic", "0")
    assert samples(opened) == expected(pushed[pushed["semantic_FR"] == 0])
    opened.click("button[type=reset]")
    opened.wait_for_function("gallery.chosen.length === data.count")
    select(opened, "by", PUSHED)
    select(opened, "sort", "change")
    for first, ascending in (("best", True), ("worst", False)):
        select(opened, "first", first) if first == "worst" else None
        ordered = pushed.sort_values("change", ascending=ascending, kind="stable", na_position="last")
        assert samples(opened) == expected(ordered)
    assert opened.locator("#count").inner_text() == "6 of 6"


def test_two_methods_are_compared_side_by_side(opened: Page) -> None:
    opened.evaluate("document.querySelector('details.filters').open = true")
    for box in opened.locator("[name=show]").all():
        box.set_checked(box.get_attribute("value") in ("true_edit", "no_edit"))
    opened.wait_for_function("document.querySelectorAll('.record:first-child figure:not([hidden])').length === 3")
    names = opened.locator(".record").first.locator("figure:visible figcaption b").all_inner_texts()
    assert names == ["original", "true_edit", "no_edit"]
    boxes = [figure.bounding_box() for figure in opened.locator(".record").first.locator("figure:visible").all()]
    assert len({box["y"] for box in boxes if box}) == 1


def test_an_address_restores_the_view(page: Page, opened: Page, address: str) -> None:
    select(opened, "goal", "left")
    select(opened, "sort", "change")
    select(opened, "first", "worst")
    opened.check("#differences")
    opened.uncheck("[name=show][value=no_edit]")
    opened.locator(".record h3 a").last.click()
    seen, last = samples(opened), opened.locator(".record").last.get_attribute("id")
    link = opened.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_function("id => document.activeElement.id === id", arg=last)
    assert samples(page) == seen
    assert page.is_checked("#differences")
    assert page.input_value("[name=first]") == "worst"
    assert not page.is_checked("[name=show][value=no_edit]")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_the_first_video_plays_without_scrolling(browser: Browser, address: str, size: tuple[int, int]) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(address)
    page.wait_for_function("document.querySelector('.record')?.dataset.frame > 0")
    box = page.locator(".record canvas").first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= size[1]
    assert page.evaluate("scrollY") == 0
    page.close()


def test_nothing_moves_where_motion_is_not_wanted(opened: Page) -> None:
    painted(opened, 0)
    opened.wait_for_timeout(200)
    assert opened.evaluate("[player.playing, player.frame]") == [False, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_it_is_accessible(browser: Browser, address: str, scheme: str, size: tuple[int, int]) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    page.locator(".record").first.wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
    page.close()


def test_boxes_are_drawn_where_they_are(browser: Browser, page: Page, address: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    page.locator(".record").first.wait_for()
    canvas = page.locator(".record figure.answer canvas").first
    page.locator("#frame").fill("1")
    painted(page, 1)
    with_them = canvas.screenshot()
    page.uncheck("#boxes")
    assert canvas.screenshot() != with_them
    page.locator("#frame").fill("0")
    painted(page, 0)
    without = canvas.screenshot()
    page.check("#boxes")
    assert canvas.screenshot() == without, "there is no box in the first frame"


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


def test_very_many_rows_open_fast_and_load_what_is_in_view(browser: Browser, finished: Path, tmp_path: Path) -> None:
    report = shutil.copytree(finished.parent / "report", tmp_path / "report")
    page_file, count = (report / "data" / "page-0.js").read_text(), 100_000
    text = (report / "index.html").read_text()
    start, end = text.index('id="data">') + len('id="data">'), text.rindex("</script>")
    content = json.loads(text[start:end])
    content |= {"count": count, "page": 6}
    (report / "index.html").write_text(text[:start] + json.dumps(content).replace("<", "\\u003c") + text[end:])
    for place in range(1, 40):
        copy = page_file.replace("page-0", f"page-{place}")
        for row in content["first"]:
            copy = copy.replace(row["id"], f"{place:04d}{row['id']}")
        (report / "data" / f"page-{place}.js").write_text(copy)
    times = []
    for _ in range(3):
        page = browser.new_page()
        loaded: list[str] = []
        page.on("request", lambda request, loaded=loaded: loaded.append(request.url))
        start_time = perf_counter()
        page.goto((report / "index.html").as_uri())
        page.wait_for_function("document.querySelector('.record')?.dataset.frame >= 0")
        times.append(perf_counter() - start_time)
    assert min(times) < OPENING
    assert page.locator("#count").inner_text() == "100000 of 100000"
    pages = sum("data/page-" in url for url in loaded)
    assert pages < 10
    for more in range(4):
        page.evaluate("more.scrollIntoView()")
        page.wait_for_function("count => list.children.length > count", arg=6 * (more + 1) - 1)
    page.wait_for_function("list.children.length === 24")
    page.click("#more")
    page.wait_for_function("list.children.length === 30")
    assert pages < sum("data/page-" in url for url in loaded) < 10
    page.close()
