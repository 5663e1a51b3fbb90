"""The report of runs: a folder of static files that works from disk or any web server, without network access."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text import number
from vcfe_bench.report import gallery, plots
from vcfe_bench.report.gallery import SEMANTIC_FLIP, Item, World
from vcfe_bench.report.media import Media
from vcfe_bench.results import leaderboard
from vcfe_bench.results.grid import grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory

PAGE, STYLE, SCRIPT = "index.html", "report.css", "report.js"
BY = ("dataset", "target")
SMALL = 256
"""Videos narrower than this, in pixels, are enlarged by a whole factor."""


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the report of runs to ``out`` and return the path of its page. An existing report is replaced.

    Raises:
        UsageError: as ``leaderboard.join``; a video is missing; ``out`` cannot be written or has other contents.
    """
    board = leaderboard.join(paths, BY)
    worlds = gallery.worlds([RunDirectory(path) for path in dict.fromkeys(paths)])
    try:
        _prepare(out)
        page = _page(board, worlds, Media(out))
        for name in (STYLE, SCRIPT):
            with as_file(files("vcfe_bench.report") / "templates" / name) as source:
                shutil.copyfile(source, out / name)
        (out / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror or error}") from None
    return out / PAGE


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / SCRIPT).exists():
        raise UsageError(f"{out} is not empty and not a report: choose another --out")
    (out / SCRIPT).touch()


def _page(board: Leaderboard, worlds: Sequence[World], media: Media) -> str:
    methods = list(dict.fromkeys(board.frame["method"]))
    present = [card for card in board.metrics if card.level and board.frame[card.name].notna().any()]
    per_sample = [card for card in present if card.level == "sample"]
    items = [item for world in worlds for item in gallery.items(world, [card.name for card in per_sample], media)]
    environment = Environment(
        loader=PackageLoader("vcfe_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("report.html.jinja").render(
        runs=[store.configuration.write() for world in worlds for store in world.stores],
        grids=list(grids(board)),
        notes=notes(board),
        metrics=present,
        worlds=[
            (world.title, list(plots.groups(world, _rows(board, world), board.metrics, methods))) for world in worlds
        ],
        key=[
            (method, place % plots.COLOURS, plots.MARKERS[place % len(plots.MARKERS)][1])
            for place, method in enumerate(methods)
        ],
        items=items,
        enlarged={item.id: max(round(SMALL / item.video.width), 1) for item in items},
        filters=_filters(items),
        sortable=per_sample,
        failures=[record for world in worlds for record in world.records.query("status != 'ok'").to_dict("records")],
        data=_data(items, per_sample),
    )


def _rows(board: Leaderboard, world: World) -> pd.DataFrame:
    """The world's part of the leaderboard."""
    frame = board.frame
    titles = "dataset " + frame["dataset"] + ", target " + frame["target"]
    return frame[titles == world.title]


def _filters(items: Sequence[Item]) -> Mapping[str, list[str]]:
    """The values that the gallery can be filtered by, by the name of an item's field."""
    fields = ("method", "goal", "prediction", "world")
    choices = {field: list(dict.fromkeys(getattr(item, field) for item in items)) for field in fields}
    return {field: values for field, values in choices.items() if len(values) > 1}


def _data(items: Sequence[Item], metrics: Sequence[ScoredCard]) -> Mapping[str, Any]:
    """The data that the script reads, as JSON."""
    return {
        "items": {item.id: dataclasses.asdict(item) for item in items},
        "lower": [card.name for card in metrics if card.direction == "lower"],
        "fps": max((item.fps for item in items), default=1),
        "semantic_flip": SEMANTIC_FLIP,
    }
