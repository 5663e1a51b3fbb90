"""``vcfe-bench merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vcfe_bench.cli import output


def merge(
    shards: Annotated[list[Path], Argument(metavar="DIR...", help="The directories of all shards of a run.")],
    out: Annotated[Path, Option(help="Directory of the whole run.")],
) -> None:
    """Join the shards that 'run --shard' made on several machines, and print the summary."""
    from rich.console import Console

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.results import leaderboard
    from vcfe_bench.results.unanswered import require_results
    from vcfe_bench.workflows import merge as workflow

    console = Console()
    with progress_display(console) as observer:
        workflow.merge(shards, out, observer)
    output.print_board(console, leaderboard.load(out), hint=output.report_hint(out))
    require_results(out, ())
