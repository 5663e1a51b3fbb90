"""``vcfe-bench curves``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

TABLES, FIGURES = (".csv", ".md"), (".svg", ".png", ".pdf")


def curves(
    out: Annotated[Path, Option(help="File to write: .csv or .md for a table, .svg, .png or .pdf for a figure.")],
    directories: Annotated[
        list[Path] | None,
        Argument(
            metavar="RUN...", help="Directories of runs of one dataset and target; by default the latest in runs/."
        ),
    ] = None,
) -> None:
    """Show which share of the videos is changed as requested with at most so many network calls per video.

    Runs with different budgets are joined: between two budgets, a method has the share that it reached with the lower.
    """
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.results import curves as results
    from vcfe_bench.results.writers.markdown import table
    from vcfe_bench.runs.found import latest

    if out.suffix not in (*TABLES, *FIGURES):
        raise UsageError(f"cannot write {out}: use one of the suffixes {', '.join((*TABLES, *FIGURES))}")
    groups = results.groups(directories or [latest()])
    if len(groups) > 1:
        worlds = "; ".join(f"{dataset}, {target}" for dataset, target in groups)
        raise UsageError(f"the runs are not of one dataset and target ({worlds}): call curves once for each")
    (records,) = groups.values()
    found = {measure: drawn for measure in results.MEASURES if (drawn := results.curves(records, measure))}
    if not found:
        raise UsageError("no method of these runs has counted calls: run it again")
    try:
        if out.suffix in FIGURES:
            from vcfe_bench.results.writers.curve_figure import figure

            figure(found).savefig(out)
        elif out.suffix == ".csv":
            results.table(records).to_csv(out, index=False)
        else:
            out.write_text("\n\n".join(map(table, results.grids(records))) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    echo(f"wrote {out}")
