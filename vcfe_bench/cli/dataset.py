"""``vcfe-bench dataset``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Typer

dataset_app = Typer(help="Look at a dataset.", no_args_is_help=True)


@dataset_app.callback()
def _group() -> None:
    """Look at a dataset."""


@dataset_app.command(epilog="Example: vcfe-bench dataset card shape_moving")
def card(name: Annotated[str, Argument(help="Dataset spec.")]) -> None:
    """Print the dataset's card: what it holds, its splits, what is known of its traps."""
    from rich.console import Console
    from rich.markdown import Markdown

    from vcfe_bench.plugins import DATASETS

    Console().print(Markdown(DATASETS.build(name).card()))
