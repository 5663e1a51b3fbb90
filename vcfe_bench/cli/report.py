"""``vcfe-bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


def report(
    directories: Annotated[
        list[Path] | None, Argument(metavar="RUN...", help="Directories of runs; by default the latest in runs/.")
    ] = None,
    out: Annotated[
        Path | None, Option(help="Folder to write to; by default the folder 'report' in the first run.")
    ] = None,
    show: Annotated[bool, Option("--open", help="Open the report in the browser afterwards.")] = False,
) -> None:
    """Write a static report for the browser: leaderboard, plots and a gallery of all videos. It needs no server."""
    import webbrowser

    from vcfe_bench.runs.found import latest

    directories = directories or [latest()]
    from vcfe_bench.report import site

    page = site.write(directories, out or directories[0] / "report")
    echo(f"wrote {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())
