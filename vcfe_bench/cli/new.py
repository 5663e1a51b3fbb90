"""``vcfe-bench new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer, echo

new_app = Typer(help="Create a plug-in package of your own.", no_args_is_help=True)


@new_app.callback()
def _group() -> None:
    """Create a plug-in package of your own."""


@new_app.command(epilog="Example: vcfe-bench new method blend")
def method(
    name: Annotated[str, Argument(help="Name of the method in tables, e.g. blend.")],
    out: Annotated[Path | None, Option(help="New folder for the package; by default vcfe-NAME.")] = None,
) -> None:
    """Write a package with a working example method, its entry point and a test."""
    from vcfe_bench.authoring import skeleton

    folder = out or Path(f"vcfe-{name.replace('_', '-')}")
    for file in skeleton.write_method(name, folder):
        echo(f"wrote {file}")
    echo(f"next: pip install -e {folder} && vcfe-bench check-plugin {name}")
