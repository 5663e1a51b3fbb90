"""``vcfe-bench validate``."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Annotated

from typer import Option, Typer

from vcfe_bench.cli import target as flags

validate_app = Typer(help="Validate the benchmark itself.", no_args_is_help=True)


@validate_app.callback()
def _group() -> None:
    """Validate the benchmark itself."""


@validate_app.command(epilog="Example: vcfe-bench validate metrics --dataset shape_moving --limit 32 --out metrics.csv")
def metrics(
    dataset: Annotated[str, Option(help="Spec of a dataset that can render true edits.")],
    out: Annotated[Path, Option(help="CSV file to write, one row per metric and kind of fake.")],
    limit: Annotated[int, Option(help="Number of validation videos.", min=1)] = 32,
    methods: Annotated[
        str, Option(help="Specs of methods whose counterfactuals are compared with true edits, too.")
    ] = "",
    in_process: flags.InProcess = False,
) -> None:
    """Measure which metrics distinguish true edits from fakes: noise, blur, flicker, wrong motion, another video."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.workflows.validate_metrics import validate, verdict

    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no directory {out.parent}")
    console = Console()
    with flags.executor(in_process), progress_display(console) as observer:
        study = validate(dataset, limit, observer, specs.split(methods))
    try:
        study.to_csv(out, index=False)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    table = Table("metric", "lowest AUROC", "if alike", "verdict", "fake", "n", box=None)
    worst = study.dropna(subset="auroc").sort_values("auroc").drop_duplicates("metric").sort_index()
    for row in worst.to_dict("records"):
        cells = (f"{row['auroc']:.2f} {_range(row['low'], row['high'])}", _range(row["null_low"], row["null_high"]))
        outcome = "too few videos" if isnan(row["low"]) else verdict(row["low"], row["high"])
        table.add_row(*map(escape, (row["metric"], *cells, outcome, row["fake"])), str(row["n"]))
    console.print(table)
    console.print(
        "if alike: where the AUROC of a distance between sets would be if it rated true edits and fakes alike "
        "(95 %). With more videos the range is narrower: --limit 128.",
        highlight=False,
    )
    console.print(f"wrote {out}", soft_wrap=True, highlight=False, markup=False)


def _range(low: float, high: float) -> str:
    return "" if isnan(low) else f"[{low:.2f}, {high:.2f}]"
