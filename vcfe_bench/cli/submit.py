"""``vcfe-bench submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


def submit(
    directories: Annotated[
        list[Path],
        Argument(metavar="RUN...", help="Directories of runs, one for each budget and seed; folders with --check."),
    ],
    by: Annotated[str, Option(help="Who made the runs.")] = "",
    paper: Annotated[str, Option(metavar="URL", help="The paper.")] = "",
    code: Annotated[str, Option(metavar="URL", help="The code of the method, an installable package.")] = "",
    own_networks: Annotated[
        str, Option(help="Networks that the method brings along, and what a video costs there.")
    ] = "none",
    report: Annotated[str | None, Option(metavar="URL", help="The published pages of 'vcfe-bench report'.")] = None,
    method: Annotated[
        str | None, Option(help="The submitted method; by default the only one that is not required.")
    ] = None,
    leaderboards: Annotated[Path, Option(help="The folder of committed tables, preset files and submissions.")] = Path(
        "leaderboards"
    ),
    check: Annotated[bool, Option("--check", help="Check folders written before; write nothing.")] = False,
) -> None:
    """Check runs and write the folder for a pull request that gets a method into the leaderboard.

    What is checked, and what else a row must fulfil, is on the page 'How do I get my method in?'.
    """
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.results.submissions import folder

    if check:
        for directory in directories:
            about = folder.check(directory)
            echo(f"{directory}: {about.method}, {len(about.tables)} tables, nothing is missing")
        return
    for option, value in (("--by", by), ("--paper", paper), ("--code", code)):
        if not value:
            raise UsageError(f"{option} is missing: the page of the leaderboard shows it")
    from vcfe_bench.workflows import submit as workflow

    author = workflow.Author(by, paper, code, own_networks, report)
    out = workflow.submit(directories, leaderboards, author, method)
    echo(f"wrote {out}: open a pull request that adds this folder")
