"""``vcfe-bench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument


def leaderboard(directory: Annotated[Path, Argument(metavar="DIR", help="The directory of a run.")]) -> None:
    """Print the leaderboard of a run."""
    from rich.console import Console

    from vcfe_bench import leaderboard

    Console().print(leaderboard.render(leaderboard.load(directory)))
