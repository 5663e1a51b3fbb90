"""The report of runs: one folder of static files that works from disk and from any web server, without a network."""

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
from vcfe_bench.report.gallery import MEANING, Item, World
from vcfe_bench.report.media import Media
from vcfe_bench.results import formats, leaderboard
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.runs.run_directory import RunDirectory

PAGE, STYLE, SCRIPT = "index.html", "report.css", "report.js"
BY = ("dataset", "target")
SMALL = 256
"""Videos narrower than this are shown enlarged by a whole number."""


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the report of runs into ``out``; return its page. A report that is there already is replaced.

    Raises:
        UsageError: as ``leaderboard.join``, or a video is missing, or ``out`` cannot be written or holds
            something else.
    """
    board = leaderboard.join(paths, BY)
    found = gallery.worlds([RunDirectory(path) for path in dict.fromkeys(paths)])
    try:
        _prepare(out)
        page = _page(board, found, Media(out))
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
        raise UsageError(f"{out} is not empty and not a report; choose another --out")
    (out / SCRIPT).touch()


def _page(board: Leaderboard, found: Sequence[World], media: Media) -> str:
    methods = list(dict.fromkeys(board.frame["method"]))
    sample_metrics = [metric for metric in board.metrics if metric["level"] == "sample"]
    shown = [metric for metric in sample_metrics if board.frame[metric["name"]].notna().any()]
    items = [item for world in found for item in gallery.items(world, [m["name"] for m in shown], media)]
    environment = Environment(
        loader=PackageLoader("vcfe_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("report.html.jinja").render(
        runs=[store.configuration.write() for world in found for store in world.stores],
        grids=list(formats.grids(board)),
        remarks=formats.remarks(board),
        metrics=[m for m in board.metrics if m["level"] and board.frame[m["name"]].notna().any()],
        worlds=[
            (world.title, list(plots.groups(world, _rows(board, world), board.metrics, methods))) for world in found
        ],
        key=[
            (method, place % plots.COLOURS, plots.MARKERS[place % len(plots.MARKERS)][1])
            for place, method in enumerate(methods)
        ],
        items=items,
        enlarged={item.id: max(round(SMALL / item.video.width), 1) for item in items},
        filters=_filters(items),
        sortable=shown,
        failures=[record for world in found for record in world.records.query("status != 'ok'").to_dict("records")],
        data=_data(items, shown),
    )


def _rows(board: Leaderboard, world: World) -> pd.DataFrame:
    """The world's part of the leaderboard."""
    frame = board.frame
    titles = "dataset " + frame["dataset"] + ", target " + frame["target"]
    return frame[titles == world.title]


def _filters(items: Sequence[Item]) -> Mapping[str, list[str]]:
    """What the gallery can be narrowed down to, by the name of an item's field."""
    fields = ("method", "asked", "seen", "world")
    found = {field: list(dict.fromkeys(getattr(item, field) for item in items)) for field in fields}
    return {field: values for field, values in found.items() if len(values) > 1}


def _data(items: Sequence[Item], metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the script has to know."""
    return {
        "items": {item.id: dataclasses.asdict(item) for item in items},
        "lower": [metric["name"] for metric in metrics if metric["direction"] == "lower"],
        "fps": max((item.fps for item in items), default=1),
        "meaning": MEANING,
    }
