"""``vcfe-bench leaderboard``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, echo

from vcfe_bench.cli import output

if TYPE_CHECKING:
    from vcfe_bench.results.leaderboard import Leaderboard


class Format(StrEnum):
    """Formats of a leaderboard."""

    rich = "rich"
    md = "md"
    csv = "csv"
    parquet = "parquet"
    latex = "latex"
    html = "html"
    github = "github"


class Among(StrEnum):
    """Which counterfactuals a leaderboard is restricted to."""

    all = "all"
    flipped = "flipped"
    flipped_by_all = "flipped_by_all"


SUFFIXES = {".txt": Format.rich, ".md": Format.md, ".csv": Format.csv, ".parquet": Format.parquet}
SUFFIXES |= {".tex": Format.latex, ".html": Format.html}
BY = "dataset,target"


def leaderboard(
    directories: Annotated[
        list[Path] | None, Argument(metavar="RUN...", help="Directories of runs; by default the latest in runs/.")
    ] = None,
    by: Annotated[
        str,
        Option(
            help="Make one table per value of these: dataset, split, target, generator, goals, videos, budget, seed, "
            "target_right (whether the target predicts the true label of the original). Methods are compared within a "
            "table."
        ),
    ] = BY,
    among: Annotated[
        Among,
        Option(
            help="Which counterfactuals count: all, those that meet their goal, or those for questions (video and "
            "goal) whose goal every method met."
        ),
    ] = Among.all,
    format: Annotated[
        Format | None,
        Option(
            help="Format; by default the one that the suffix of --out implies, or rich. csv and parquet have all "
            "columns, the other formats those of the summary; with --full, all."
        ),
    ] = None,
    sort: Annotated[
        str | None,
        Option(
            help="Column to sort by, the better end of a metric first; by default rows are in the order of the runs."
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="Write to this file instead of printing.")] = None,
    columns: output.Columns = None,
    full: output.Full = False,
    why: output.Why = False,
    intervals: output.Intervals = False,
) -> None:
    """Print the summary of a run, or of several joined: other methods, seeds, datasets, machines.

    Runs that were scored with different versions of a metric or different feature networks are refused.
    """
    from rich.console import Console

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import leaderboard
    from vcfe_bench.runs.found import latest

    chosen = format or _by_suffix(out)
    if chosen is Format.parquet and out is None:
        raise UsageError("parquet cannot be printed: name a file with --out")
    directories = directories or [latest()]
    if len(directories) == 1 and (by, among, sort) == (BY, Among.all, None) and chosen in (Format.rich, Format.github):
        board = leaderboard.load(directories[0])
    else:
        board = leaderboard.join(directories, specs.split(by), sort, among.value)
    if out is None:
        if chosen is Format.rich:
            output.print_board(Console(), board, output.words(columns), full, why, intervals)
        else:
            echo(_text(board, chosen, output.words(columns), full, intervals), nl=False)
        return
    try:
        if chosen is Format.parquet:
            board.frame.to_parquet(out, index=False)
        else:
            out.write_text(_text(board, chosen, output.words(columns), full, intervals), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    echo(f"wrote {out}")


def _text(board: Leaderboard, format: Format, columns: Sequence[str], full: bool, intervals: bool) -> str:
    from vcfe_bench.results.summary import summaries
    from vcfe_bench.results.writers import PAGES, WRITERS

    if full or format not in PAGES:
        return WRITERS[format](board)
    tables = list(summaries(board, columns, intervals))
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return PAGES[format]((table.grid for table in tables), notes)


def _by_suffix(out: Path | None) -> Format:
    from vcfe_bench.core.errors import UsageError

    if out is None:
        return Format.rich
    if out.suffix not in SUFFIXES:
        raise UsageError(f"the format of {out} is not known: end its name in {', '.join(SUFFIXES)}, or use --format")
    return SUFFIXES[out.suffix]
