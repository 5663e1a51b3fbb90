"""The folder of a report."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.report.page import Element, read
from tests.report.worlds import HOSTILE, PUSH, lights, with_boxes
from vcfe_bench.cli import main
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text import number
from vcfe_bench.figures.abreast import GAP, LABEL
from vcfe_bench.report import site
from vcfe_bench.results import leaderboard
from vcfe_bench.results.grid import grids
from vcfe_bench.results.notes import notes
from vcfe_bench.results.summary import summaries
from vcfe_bench.video import lossless


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


def published(report: Path, name: str) -> Any:
    """The value in a file of data."""
    text = (report / "data" / f"{name}.js").read_text()
    start = f'receive("{name}",'
    assert text.startswith(start)
    assert text.endswith(");\n")
    return json.loads(text[len(start) : -3])


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
    classes = ("left", "middle", "right")
    methods, rows = data(page)["methods"], published(finished / "report", "page-0")
    assert rows == data(page)["first"]
    questions = records.drop_duplicates(["index", "goal"])
    assert [row["sample"] for row in rows] == questions["sample"].tolist()
    assert [row["goal"] for row in rows] == [classes[int(goal[-1])] for goal in questions["goal"]]
    assert [row["prediction"] for row in rows] == [classes[place] for place in questions["prediction"]]
    answers = {answer["id"]: (row, answer) for row in rows for answer in row["answers"]}
    assert set(answers) == set(records["id"])
    for record in records.to_dict("records"):
        row, answer = answers[record["id"]]
        assert (row["sample"], methods[answer["method"]]) == (record["sample"], record["method"])
        assert (answer["status"], answer["reason"]) == (record["status"], record["reason"])
        if record["status"] != "ok":
            assert answer["video"] is None
            continue
        assert (answer["met"], answer["semantic"]) == (record["met"], bool(record["semantic_FR"]))
        assert answer["prediction"] == classes[int(np.argmax(record["after"]))]
        known = {name: record[name] for name in ("toy_FR", "change", "semantic_FR") if pd.notna(record[name])}
        assert answer["scores"] == {name: number(value) for name, value in known.items()}
        assert (finished / "report" / answer["video"]["file"]).is_file()
        assert (finished / "report" / row["original"]["file"]).is_file()
    failed = {row.attributes["id"]: row for row in page.all("tr") if "id" in row.attributes}
    assert list(failed) == [f"failed-{id}" for id in records.loc[records["status"] != "ok", "id"]]
    for record in records[records["status"] != "ok"].to_dict("records"):
        assert record["reason"] in failed[f"failed-{record['id']}"].text


def test_columns_to_filter_and_sort_by_are_those_of_the_rows(finished: Path, page: Element) -> None:
    rows, index = data(page)["first"], published(finished / "report", "index")
    for field in ("world", "prediction", "goal"):
        assert index[field] == [row[field] for row in rows]
    change = published(finished / "report", f"score-{data(page)['scores'].index('change')}")
    for place, row in enumerate(rows):
        for answer in row["answers"]:
            met = index["met"][answer["method"]][place]
            assert met == (int(answer["met"]) if answer["video"] else None)
            value = change[answer["method"]][place]
            assert (value is None) == ("change" not in answer["scores"])
            if value is not None:
                assert number(value) == answer["scores"]["change"]


def test_many_rows_are_divided_into_pages(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcfe_bench.report.data.PAGE", 4)
    page = read(site.write([finished], tmp_path / "report").read_text())
    sizes = [len(published(tmp_path / "report", f"page-{place}")) for place in range(2)]
    assert (data(page)["count"], data(page)["page"], sizes) == (6, 4, [4, 2])
    assert len(data(page)["first"]) == 4


def test_the_summary_has_methods_before_references_and_explains_its_columns(finished: Path, page: Element) -> None:
    table = page.one("table", class_="summary")
    board = leaderboard.load(finished)
    (shown,) = summaries(board)
    lines = [[cell.text for cell in row.parts if isinstance(cell, Element)] for row in table.one("tbody").all("tr")]
    assert lines == [[cell.value for cell in row] for row in (*shown.methods, *shown.references)]
    methods = [line[0] for line in lines]
    assert methods[len(shown.methods) :][:3] == ["true_edit", "reconstruction", "no_edit"]
    assert set(data(page)["methods"]) <= set(methods)
    (card,) = (card for card in board.metrics if card.name == "semantic_FR")
    button = next(button for button in table.all("button") if button.text.startswith("semFR"))
    assert card.question in page.one("span", id=button.attributes["aria-describedby"]).text


def test_it_says_where_its_numbers_come_from(finished: Path, page: Element) -> None:
    run = {k: v for k, v in json.loads((finished / "run.json").read_text()).items() if k != "crc"}
    facts = {part.one("dt").text: part.one("dd").text for part in page.one("details", class_="provenance").all("div")}
    assert facts["version"] == f"vcfe-bench {run['environment']['versions']['vcfe-bench']}"
    assert facts["revision"] == run["environment"]["revision"]
    target = run["configuration"]["target"]
    assert target["fingerprint"] in facts[f"target {target['spec']}"]
    words = shlex.split(facts["command"])
    assert words[words.index("--methods") + 1] == ",".join(list(run["configuration"]["methods"])[:-3])
    assert words[words.index("--limit") + 1] == "6"
    assert json.loads((finished / "report" / "run-1.json").read_text()) == run
    assert len(pd.read_parquet(finished / "report" / "records.parquet")) == run["configuration"]["limit"] * 7
    assert pd.read_csv(finished / "report" / "leaderboard.csv")["method"].tolist() == data(page)["methods"]


def test_videos_can_be_downloaded_as_mp4_and_gif(finished: Path, page: Element) -> None:
    row = next(row for row in data(page)["first"] if all(answer["video"] for answer in row["answers"][:2]))
    report, answered = finished / "report", sum(answer["video"] is not None for answer in row["answers"])
    gif = Image.open(report / row["clips"]["gif"])
    width, height = (answered + 1) * (120 + GAP) - GAP, 120 + LABEL
    assert (gif.n_frames, gif.size) == (5, (width, height))
    video = lossless.read_foreign(report / row["clips"]["mp4"])
    assert video.shape == (5, 3, height, width)
    stored = np.asarray(Image.open(report / row["original"]["file"]).crop((0, 0, 12, 12)), int)
    shown = video[0, :, LABEL : LABEL + 120, :120].unfold(1, 10, 10).unfold(2, 10, 10).float().mean(dim=(3, 4))
    assert np.abs(shown.permute(1, 2, 0).numpy() - stored).mean() < 8


def test_boxes_reach_the_page(page: Element) -> None:
    found = data(page)
    tubes = [answer for row in found["first"] for answer in row["answers"] if answer["boxes"]]
    assert {found["methods"][answer["method"]] for answer in tubes} == {"toy_push[rate=60.0,steps=2]"}
    assert tubes[0]["attributes"] == ["bright <i>"]
    assert tubes[0]["boxes"] == [[None, *([2.0, 3.0, 4.0 + t, 5.0 + t] for t in range(4))]]


def test_text_of_users_stays_text(page: Element) -> None:
    name = f"toy_push[label={HOSTILE}]"
    assert [script.attributes for script in page.all("script")] == [
        *({"src": asset, "defer": ""} for asset in site.ASSETS if asset.endswith(".js")),
        {"type": "application/json", "id": "data"},
    ]
    assert not [e for e in page.all() if any(key.startswith("on") for key in e.attributes)]
    assert name in [cell.text for cell in page.all("th", scope="row")]
    assert name in {option.text for option in page.all("option")}
    assert name in data(page)["methods"]


def test_nothing_comes_from_elsewhere(finished: Path, page: Element) -> None:
    links = [e.attributes[key] for e in page.all() for key in ("href", "src", "xlink:href") if key in e.attributes]
    assert set(site.ASSETS) < set(links)
    for link in links:
        assert link.startswith(("#", "data:,")) or (finished / "report" / link).is_file()
    for name in site.ASSETS:
        assert "//" not in "".join(
            line for line in (finished / "report" / name).read_text().splitlines() if not line.startswith("//")
        )


def test_names_are_unique_and_references_lead_somewhere(page: Element) -> None:
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.all():
        for key in ("aria-labelledby", "for"):
            assert element.attributes.get(key, ids[0]) in ids
        if element.attributes.get("href", "").startswith("#"):
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
    ids = [answer["id"] for row in data(page)["first"] for answer in row["answers"]]
    assert len(ids) == len(set(ids)) == records["id"].nunique() < len(records)
    methods = [box.attributes["value"] for box in page.all("input", name="show")]
    assert methods == ["toy_push", "toy_half", "true_edit", "reconstruction", "no_edit"]


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
