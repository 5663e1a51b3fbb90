"""``vcfe-bench list``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from typer import Argument


class Kind(StrEnum):
    """The kinds of plug-in."""

    methods = "methods"
    datasets = "datasets"
    targets = "targets"
    generators = "generators"
    metrics = "metrics"


def list_plugins(kind: Annotated[Kind, Argument(help="Kind of plug-in.")]) -> None:
    """List the plug-ins of a kind with origin, version and default parameters, or with their import error."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vcfe_bench.plugins.listing_cache import listings

    table = Table(box=None, padding=(0, 2, 1, 0))
    for title in ("name", "from", "what it is"):
        table.add_column(title, overflow="fold")
    for listing in listings(kind.value.removesuffix("s")):
        what = Text(listing.summary)
        if listing.error:
            what.append(f"broken: {listing.error}", style="red")
        if listing.parameters:
            what.append("\n" + ", ".join(f"{key}={value}" for key, value in listing.parameters.items()), style="dim")
        if listing.presets:
            what.append("\npresets: " + ", ".join(listing.presets), style="dim")
        table.add_row(listing.name, f"{listing.distribution} {listing.version}", what)
    Console().print(table)
