"""``vcfe-bench tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vcfe_bench.cli import target as flags


def tune(
    method: Annotated[str, Argument(help="Method spec; parameters in brackets are kept, the others are tuned.")],
    dataset: Annotated[str, Option(help="Dataset spec.")],
    budget: Annotated[
        float, Option(metavar="CALLS", help="What the method may spend on the network calls for a video, as for 'run'.")
    ],
    target: Annotated[str | None, Option(help="Target spec; by default the dataset's target.")] = None,
    generator: Annotated[
        str | None, Option(help="Generator spec, or none; by default the dataset's generator.")
    ] = None,
    limit: Annotated[int, Option(help="Number of validation videos.", min=8)] = 8,
    out: Annotated[Path, Option(help="Folder of the preset file, and of the runs of the trials.")] = Path(
        "leaderboards/tuned"
    ),
    in_process: flags.InProcess = False,
) -> None:
    """Search for the settings of a method within a budget, and write them to a preset file for 'run --preset tuned'.

    24 settings are tried on validation videos, with Optuna. The objective is FR · transfer_FR · (1 - LPIPS). The same
    command continues an interrupted search.
    """
    from vcfe_bench.plugins import names

    for kind, spec in (("method", method), ("dataset", dataset), ("target", target), ("generator", generator)):
        names.check(kind, (spec,))
    from rich.console import Console

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.runs.setup import Request
    from vcfe_bench.workflows import tune as workflow

    console = Console()
    request = Request((method,), dataset, "validation", limit, target=target, generator=generator, budget=budget)
    with flags.executor(in_process), progress_display(console) as observer:
        path = workflow.tune(request, out, observer, lambda line: console.print(line, soft_wrap=True, markup=False))
    console.print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)
