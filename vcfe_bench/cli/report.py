"""``vcfe-bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


def report(
    directories: Annotated[list[Path], Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[
        Path | None, Option(help="Folder to write; by default the folder 'report' of the first run.")
    ] = None,
    show: Annotated[bool, Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write leaderboard, plots and a gallery of all videos into a folder for a browser; it needs no server."""
    import webbrowser

    from vcfe_bench.report import site

    page = site.write(directories, out or directories[0] / "report")
    echo(f"wrote {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())
