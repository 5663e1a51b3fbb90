"""The folder of a report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.report.page import Element, read
from tests.report.worlds import HOSTILE, PUSH, lights, with_boxes
from vcfe_bench.cli import main
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text import number
from vcfe_bench.report import site
from vcfe_bench.results import leaderboard
from vcfe_bench.results.grid import grids
from vcfe_bench.results.notes import notes


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "run"
    lights(out, PUSH, f"toy_push[label={HOSTILE}]", "toy_fragile", "toy_picky")
    return with_boxes(out, "toy_push[rate=60.0,steps=2]")


@pytest.fixture(scope="module")
def page(finished: Path) -> Element:
    return read(site.write([finished], finished / "report").read_text())


@pytest.fixture
def records(finished: Path) -> pd.DataFrame:
    return pd.read_parquet(finished / "records.parquet")


def data(page: Element) -> dict:
    return json.loads(page.one("script", id="data").text)


def test_tables_are_those_of_the_terminal(finished: Path, page: Element) -> None:
    board = leaderboard.join([finished])
    expected = list(grids(board))
    shown = list(page.all("table", class_="sortable"))
    assert len(shown) == len(expected) > 3
    for table, grid in zip(shown, expected, strict=True):
        (caption,) = (e for e in page.all("h3") if e.attributes.get("id") == table.attributes["aria-labelledby"])
        assert caption.text == grid.title
        head, *rows = ([cell.text for cell in row.parts if isinstance(cell, Element)] for row in table.all("tr"))
        assert head == [column.title for column in grid.columns]
        assert rows == [[cell.text for cell in row] for row in grid.rows]
    assert [e.text for e in page.one("ul", class_="notes").all("li")] == notes(board)


def test_every_record_has_its_place(finished: Path, page: Element, records: pd.DataFrame) -> None:
    done, rest = records[records["status"] == "ok"], records[records["status"] != "ok"]
    articles = {article.attributes["id"]: article for article in page.all("article")}
    assert list(articles) == done["id"].tolist()
    classes = ("left", "middle", "right")
    items = data(page)["items"]
    for record in done.to_dict("records"):
        article, item = articles[record["id"]], items[record["id"]]
        link = article.one("a")
        assert (link.text, link.attributes["href"]) == (record["method"], f"#{record['id']}")
        goal = classes[int(record["goal"][-1])]
        assert f"predicted {classes[record['prediction']]}, goal {goal}" in article.text
        badges = [badge.text for badge in article.all(class_="badge")]
        semantic = {1: "semantic flip", 0: "no semantic flip"}[record["semantic_FR"]]
        assert badges == ["flipped" if record["met"] else "not flipped", semantic]
        assert len(list(article.all("canvas"))) == 3
        scores = dict(zip((e.text for e in article.all("dt")), (e.text for e in article.all("dd")), strict=True))
        known = {name: record[name] for name in ("toy_FR", "change", "semantic_FR") if pd.notna(record[name])}
        assert scores == {name: number(value) for name, value in known.items()}
        assert item["scores"] == pytest.approx(known)
        for side in ("original", "video"):
            assert (finished / "report" / item[side]["file"]).is_file()
    rows = {row.attributes["id"]: row for row in page.all("tr") if "id" in row.attributes}
    assert list(rows) == rest["id"].tolist()
    for record in rest.to_dict("records"):
        assert record["reason"] in rows[record["id"]].text


def test_boxes_reach_the_page(page: Element) -> None:
    tubes = [item for item in data(page)["items"].values() if item["boxes"]]
    assert {item["method"] for item in tubes} == {"toy_push[rate=60.0,steps=2]"}
    assert tubes[0]["attributes"] == ["bright <i>"]
    assert tubes[0]["boxes"] == [[None, *([2.0, 3.0, 4.0 + t, 5.0 + t] for t in range(4))]]


def test_text_of_users_stays_text(page: Element) -> None:
    name = f"toy_push[label={HOSTILE}]"
    assert [script.attributes for script in page.all("script")] == [
        {"src": "report.js", "defer": ""},
        {"type": "application/json", "id": "data"},
    ]
    assert not [e for e in page.all() if any(key.startswith("on") for key in e.attributes)]
    assert name in [cell.text for cell in page.all("th", scope="row")]
    assert name in {option.text for option in page.all("option")}
    assert name in {item["method"] for item in data(page)["items"].values()}
    assert "explained by bright <i>" in {paragraph.text for paragraph in page.all("p")}


def test_nothing_comes_from_elsewhere(finished: Path, page: Element) -> None:
    links = [e.attributes[key] for e in page.all() for key in ("href", "src", "xlink:href") if key in e.attributes]
    assert {"report.css", "report.js"} < set(links)
    for link in links:
        assert link.startswith(("#", "data:,")) or (finished / "report" / link).is_file()
    for name in ("report.css", "report.js"):
        assert "//" not in "".join(
            line for line in (finished / "report" / name).read_text().splitlines() if not line.startswith("//")
        )


def test_names_are_unique_and_references_lead_somewhere(page: Element) -> None:
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.all():
        for key in ("aria-labelledby", "for"):
            assert element.attributes.get(key, ids[0]) in ids
        if element.tag == "a":
            assert element.attributes["href"].removeprefix("#") in ids


def test_everything_to_act_on_has_a_name(page: Element) -> None:
    labelled = [e for label in page.all("label") for e in label.all() if e.tag in ("select", "input")]
    for element in page.all():
        if element.tag in ("select", "input"):
            assert element in labelled or "aria-label" in element.attributes
        if element.tag == "button":
            assert element.text
        if element.tag in ("canvas", "svg"):
            assert element.attributes["role"] == "img"
            assert element.attributes["aria-label"]


def test_drawings_refer_to_their_own_parts(page: Element) -> None:
    for drawing in page.all("svg"):
        own = {e.attributes["id"] for e in drawing.all() if "id" in e.attributes}
        used = {e.attributes["xlink:href"].removeprefix("#") for e in drawing.all("use")}
        clips = {e.attributes["clip-path"][5:-1] for e in drawing.all() if "clip-path" in e.attributes}
        assert used | clips <= own
        assert not [e for e in drawing.all("g") if "id" in e.attributes]


def test_runs_are_joined_and_a_task_done_twice_is_shown_once(tmp_path: Path) -> None:
    first = lights(tmp_path / "first", "toy_push", limit=3)
    second = lights(tmp_path / "second", "toy_half", limit=3)
    page = read(site.write([first, second], tmp_path / "report").read_text())
    records = pd.concat([pd.read_parquet(run / "records.parquet") for run in (first, second)])
    ids = [article.attributes["id"] for article in page.all("article")]
    assert len(ids) == len(set(ids)) == records["id"].nunique() < len(records)
    methods = [o.text for o in page.one("select", name="method").all("option")]
    assert methods == ["all", "toy_push", "true_edit", "reconstruction", "no_edit", "toy_half"]


def test_a_report_is_replaced_but_nothing_else_is(finished: Path, page: Element, tmp_path: Path) -> None:
    before = (finished / "report" / "index.html").read_bytes()
    assert site.write([finished], finished / "report").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="mine is not empty and not a report: choose another --out"):
        site.write([finished], tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"


def test_a_missing_video_is_named(finished: Path, records: pd.DataFrame, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    video = records.loc[records["status"] == "ok", "video"].iloc[0]
    (run / "videos" / f"{video}.mkv").unlink()
    with pytest.raises(UsageError, match=f"videos/{video}.mkv is missing or damaged"):
        site.write([run], tmp_path / "report")


def test_from_the_command_line(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "report", str(run), "--open"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert opened == [(run / "report" / "index.html").as_uri()]
    assert capsys.readouterr().out == f"wrote {run / 'report' / 'index.html'}\n"
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "report", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "is not a run that can be read" in capsys.readouterr().err
