"""``vcfe-bench figure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def figure(
    record: Annotated[
        list[str],
        Option(help="Id of a record, from records.parquet; repeat the option for several records of one original."),
    ],
    directory: Annotated[
        Path | None, Argument(metavar="DIR", help="Directory of a run; by default the latest in runs/.")
    ] = None,
    out: Annotated[Path, Option(help="File to write: .png, .pdf or .svg.")] = Path("figure.png"),
    frames: Annotated[int, Option(help="Number of evenly spaced frames.", min=2)] = 9,
    differences: Annotated[bool, Option(help="Show difference maps.")] = True,
) -> None:
    """Draw strips of frames: an original, its counterfactuals and their differences."""
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.runs.found import latest

    directory = directory or latest()
    from vcfe_bench.figures import strips
    from vcfe_bench.runs.run_directory import RunDirectory

    image = strips.figure(RunDirectory(directory), record, frames, differences)
    try:
        image.savefig(out, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {out}: {error}") from None
    print(f"wrote {out}")
