"""``vcfe-bench runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, echo


def runs(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Folder that the run directories lie in.")] = Path("runs"),
) -> None:
    """List run directories, the latest first: what was asked, and how much of it has been made."""
    from datetime import datetime

    from vcfe_bench.runs.found import changed, overview, run_directories

    found = run_directories(folder)
    if not found:
        echo(f"no runs in {folder}/")
    for path in found:
        when = datetime.fromtimestamp(changed(path)).strftime("%Y-%m-%d %H:%M")
        echo(f"{when}  {path}\n    {overview(path)}")
