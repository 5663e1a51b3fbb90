"""``vcfe-bench status`` and ``vcfe-bench verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, echo

Run = Annotated[Path | None, Argument(metavar="RUN", help="Directory of a run; by default the latest in runs/.")]


def status(directory: Run = None) -> None:
    """Show how far a run is: results, failures, what is left, how long it may take. Works while it runs."""
    import math
    import time
    from datetime import timedelta

    from vcfe_bench.runs import verification
    from vcfe_bench.runs.found import latest

    run = verification.status(directory or latest(), time.time())
    echo(f"done     {run.done}")
    echo(f"failed   {run.failed}")
    echo(f"skipped  {run.skipped}")
    echo(f"left     {run.left}")
    echo(f"scored   {run.scored} of {run.done}")
    if not math.isnan(run.rate):
        echo(f"rate     {60 * run.rate:.3g} tasks a minute")
    if run.left and not math.isnan(run.seconds_left):
        echo(f"to go    {timedelta(seconds=round(run.seconds_left))}")
    if not math.isnan(run.idle):
        echo(f"written  {timedelta(seconds=round(run.idle))} ago")
    echo(f"damaged  {len(run.damaged)}")
    for line in run.damaged:
        echo(f"  {line}")


def verify(directory: Run = None) -> None:
    """Verify the checksums of everything that a run stores: exit code 0 if it is whole, 1 with a list if not."""
    from vcfe_bench.runs import verification
    from vcfe_bench.runs.found import latest

    directory = directory or latest()
    problems = verification.verify(directory)
    for line in problems:
        echo(line)
    if problems:
        echo(f"{len(problems)} problems; run the command that made the run again to make good what can be made again")
    else:
        echo(f"everything in {directory} is what was written")
    raise Exit(int(bool(problems)))
