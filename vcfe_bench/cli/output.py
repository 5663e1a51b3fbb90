"""What commands print: the summary of a leaderboard, in full or with the reasons for what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from vcfe_bench.cli import completion

if TYPE_CHECKING:
    from rich.console import Console

    from vcfe_bench.results.leaderboard import Leaderboard

Metrics = Annotated[
    str | None,
    Option(
        help="Metrics, separated by commas: specs, column names or families (FR, lpips, paper, all); by default all.",
        autocompletion=completion.plugins("metric"),
    ),
]
Columns = Annotated[
    str | None,
    Option(
        help="Columns of the summary, separated by commas: metrics or families of metrics in any case (FR, lpips, "
        "paper, all), n, calls, s/video. By default the usual ones that the dataset has."
    ),
]
Full = Annotated[bool, Option("--full", help="Print all metrics with intervals, floors and notes, not the summary.")]
Why = Annotated[bool, Option("--why", help="Print why metrics are not available, and what to know about the numbers.")]
Intervals = Annotated[bool, Option("--intervals", help="Print 95 % intervals below the values of the summary.")]

Quiet = Annotated[bool, Option("--quiet", "-q", help="Print failures, warnings and the summary only.")]
Verbose = Annotated[
    bool, Option("--verbose", "-v", help="Print a line for every counterfactual: goal, seconds, network calls.")
]


def metric_specs(metrics: str | None) -> tuple[str, ...] | None:
    """The specs of ``--metrics``; None for all.

    Raises:
        UsageError: a word stands for no metric.
    """
    from vcfe_bench.plugins import metric_names, names

    return None if metrics is None else metric_names.resolve(metrics, names.names("metric"))


def words(columns: str | None) -> tuple[str, ...]:
    """The words of ``--columns``."""
    from vcfe_bench.plugins import specs

    return tuple(specs.split(columns or ""))


def print_board(
    console: Console,
    board: Leaderboard,
    columns: Sequence[str] = (),
    full: bool = False,
    why: bool = False,
    intervals: bool = False,
    elapsed: str = "",
    hint: str = "",
) -> None:
    """Print the summary of a leaderboard, or all its tables, or its notes."""
    if full:
        from vcfe_bench.results.writers import terminal

        console.print(terminal.render(board))
        return
    if why:
        from vcfe_bench.core.text import printable
        from vcfe_bench.results.notes import notes

        for note in sorted(notes(board), key=lambda note: " not available" not in note):
            console.print(printable(note), markup=False, highlight=False)
        return
    from vcfe_bench.results.summary import summaries
    from vcfe_bench.results.writers import summary

    for number, table in enumerate(summaries(board, columns, intervals, hint)):
        if number:
            console.print()
        text = summary.render(table, console.width, console.encoding, elapsed)
        console.print(text, soft_wrap=True, highlight=False)


def report_hint(directory: Path) -> str:
    """The command that makes a report of a run."""
    import shlex

    return f"report: vcfe-bench report {shlex.quote(str(directory))} --open"
