"""``vcfe-bench leaderboard``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo


class Format(StrEnum):
    """How a table is written."""

    rich = "rich"
    md = "md"
    csv = "csv"
    parquet = "parquet"
    latex = "latex"
    html = "html"


class Among(StrEnum):
    """Which counterfactuals a table rests on."""

    all = "all"
    flipped = "flipped"
    flipped_by_all = "flipped_by_all"


SUFFIXES = {".txt": Format.rich, ".md": Format.md, ".csv": Format.csv, ".parquet": Format.parquet}
SUFFIXES |= {".tex": Format.latex, ".html": Format.html}
BY = "dataset,target"
WIDTH = 160
"""Columns of a table drawn into a file."""


def leaderboard(
    directories: Annotated[list[Path], Argument(metavar="RUN...", help="Directories of runs.")],
    by: Annotated[
        str,
        Option(
            help="One table per value of these: dataset, split, target, generator, goals, videos, seed, target_right "
            "(whether the target was right on the original). Methods are compared within a table."
        ),
    ] = BY,
    among: Annotated[
        Among,
        Option(
            help="Which counterfactuals count: all, those that meet their goal, or questions that every method flipped."
        ),
    ] = Among.all,
    format: Annotated[
        Format | None, Option(help="By default that of the suffix of --out, or rich. csv and parquet hold all columns.")
    ] = None,
    sort: Annotated[
        str | None, Option(help="Column to sort by, a metric's better end first; by default as in the runs.")
    ] = None,
    out: Annotated[Path | None, Option(help="File to write instead of printing.")] = None,
) -> None:
    """Print the leaderboard of a run, or join several: other methods, seeds, datasets, machines.

    Runs that were scored with other versions of a metric or other feature networks are refused.
    """
    from io import StringIO

    from rich.console import Console

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import formats, leaderboard

    chosen = format or _by_suffix(out)
    if chosen is Format.parquet and out is None:
        raise UsageError("parquet is no text: name a file with --out")
    if len(directories) == 1 and (by, among, sort, chosen) == (BY, Among.all, None, Format.rich):
        board = leaderboard.load(directories[0])
        drawn = formats.render_run(board)
    else:
        board = leaderboard.join(directories, specs.split(by), sort, among.value)
        drawn = formats.render(board)
    if out is None and chosen is Format.rich:
        Console().print(drawn)
        return
    try:
        if chosen is Format.parquet:
            board.frame.to_parquet(out, index=False)
        else:
            if chosen is Format.rich:
                Console(file=(page := StringIO()), width=WIDTH).print(drawn)
                text = page.getvalue()
            else:
                text = formats.TEXTS[chosen](board)
            if out is None:
                echo(text, nl=False)
                return
            out.write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    echo(f"wrote {out}")


def _by_suffix(out: Path | None) -> Format:
    from vcfe_bench.core.errors import UsageError

    if out is None:
        return Format.rich
    if out.suffix not in SUFFIXES:
        raise UsageError(f"{out} does not tell its format: end it in {', '.join(SUFFIXES)}, or say --format")
    return SUFFIXES[out.suffix]
