"""The report of runs: a folder of static files that works from disk or any web server, without network access."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from vcfe_bench.core.errors import UsageError
from vcfe_bench.figures.labels import goal_label, prediction_label
from vcfe_bench.report import data, drawing, gallery, page_templates, plots
from vcfe_bench.report.gallery import SEMANTIC_FLIP, World
from vcfe_bench.report.media import CLIPS, Media
from vcfe_bench.report.summary import Provenance, provenance, summary
from vcfe_bench.results import leaderboard
from vcfe_bench.results.grid import grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.run_directory import RunDirectory

PAGE = "index.html"
ASSETS = ("report.css", "report.js", "tables.js", "panel.js", "player.js", "gallery.js")
MARK = "report.js"
"""What tells that a folder is a report."""
CSV, RECORDS = "leaderboard.csv", "records.parquet"
BY = ("dataset", "target")
WIDE = 160
"""Width of a video on a wide screen, in pixels: narrower videos are enlarged to it, wider ones shrunk."""
FAILURES = 200
"""Records in the table of failed and skipped ones."""


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the report of runs to ``out`` and return the path of its page. An existing report is replaced.

    Raises:
        UsageError: as ``leaderboard.join``; a video is missing; ``out`` cannot be written or has other contents.
    """
    board = leaderboard.join(paths, BY)
    worlds = gallery.worlds([RunDirectory(path) for path in dict.fromkeys(paths)])
    try:
        _prepare(out)
        page = _page(board, worlds, out)
        for name in ASSETS:
            with as_file(files("vcfe_bench.report") / "templates" / name) as source:
                shutil.copyfile(source, out / name)
        (out / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror or error}") from None
    return out / PAGE


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / MARK).exists():
        raise UsageError(f"{out} is not empty and not a report: choose another --out")
    (out / MARK).touch()


def _page(board: Leaderboard, worlds: Sequence[World], out: Path) -> str:
    methods = list(dict.fromkeys(board.frame["method"]))
    present = [card for card in board.metrics if card.level and board.frame[card.name].notna().any()]
    scores = [card.name for card in present if card.level == "sample"]
    media = Media(out)
    first = data.write_pages(
        (row for place, world in enumerate(worlds) for row in gallery.rows(world, place, methods, scores, media)), out
    )
    count = data.write_columns(worlds, methods, scores, out)
    failures = pd.concat([world.records.query("status != 'ok'") for world in worlds])
    return (
        page_templates.environment()
        .get_template("report.html.jinja")
        .render(
            assets=ASSETS,
            summaries=[summary(world, _rows(board, world), board) for world in worlds],
            provenance=_publish(board, worlds, out),
            downloads={"leaderboard": CSV, "records": RECORDS},
            grids=list(grids(board)),
            notes=notes(board),
            metrics=present,
            worlds=[
                (world.title, list(plots.groups(world, _rows(board, world), board.metrics, methods)))
                for world in worlds
            ],
            key=[
                (method, place % drawing.COLOURS, drawing.MARKERS[place % len(drawing.MARKERS)][1])
                for place, method in enumerate(methods)
            ],
            filters=_filters(worlds),
            scores=scores,
            semantic=SEMANTIC_FLIP in scores,
            boxes=any(answer["boxes"] for row in first for answer in row["answers"]),
            count=count,
            clips=CLIPS,
            wide=WIDE,
            failed=len(failures),
            failures=failures.head(FAILURES).to_dict("records"),
            data={
                "first": first,
                "count": count,
                "page": data.PAGE,
                "methods": methods,
                "references": [place for place, method in enumerate(methods) if method in REFERENCES],
                "worlds": [world.title for world in worlds],
                "scores": scores,
                "lower": [card.name for card in present if card.direction == "lower"],
            },
        )
    )


def _publish(board: Leaderboard, worlds: Sequence[World], out: Path) -> list[Provenance]:
    """Copies of the tables and configurations in the report, and where each run comes from."""
    board.frame.to_csv(out / CSV, index=False)
    pd.concat([world.records.drop(columns="run") for world in worlds]).to_parquet(out / RECORDS, index=False)
    stores = [store for world in worlds for store in world.stores]
    origins = [provenance(store, f"run-{place}.json") for place, store in enumerate(stores, start=1)]
    for store, origin in zip(stores, origins, strict=True):
        (out / origin.file).write_text(json.dumps(store.run, indent=1), encoding="utf-8")
    return origins


def _rows(board: Leaderboard, world: World) -> pd.DataFrame:
    """The world's part of the leaderboard."""
    frame = board.frame
    titles = "dataset " + frame["dataset"] + ", target " + frame["target"]
    return frame[titles == world.title]


def _filters(worlds: Sequence[World]) -> Mapping[str, list[str]]:
    """The values that rows can be filtered by, by field; fields with one value are left out."""
    choices: dict[str, dict[str, None]] = {"prediction": {}, "goal": {}, "world": {}}
    for world in worlds:
        choices["world"][world.title] = None
        choices["goal"] |= dict.fromkeys(goal_label(goal, world.classes) for goal in world.records["goal"].unique())
        if world.classes:
            named = (prediction_label(value, world.classes) for value in world.records["prediction"].unique())
            choices["prediction"] |= dict.fromkeys(named)
    return {field: sorted(values) for field, values in choices.items() if len(values) > 1}
