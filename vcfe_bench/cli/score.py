"""``vcfe-bench score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def score(
    directory: Annotated[Path, Argument(metavar="DIR", help="The directory of a run.")],
    metrics: Annotated[str | None, Option(help="Metrics, separated by commas; by default all.")] = None,
) -> None:
    """Score the stored counterfactuals of a run anew, without making any."""
    from rich.console import Console

    from vcfe_bench import leaderboard, runner, specs
    from vcfe_bench.display import display

    console = Console()
    with display(console) as observer:
        runner.rescore(directory, None if metrics is None else tuple(specs.split(metrics)), observer)
    console.print(leaderboard.render(leaderboard.load(directory)))
