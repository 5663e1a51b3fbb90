"""``vcfe-bench plan --detect``: how many videos it takes to see a difference between methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

RATES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Rates of the better method for which the number of videos is shown where no table gives them."""


def print_detectable(difference: float, deviation: float | None, table: Path | None, videos: int, methods: int) -> None:
    """Print the power of the paired tests of a table at this number of videos, and the number that has 80 %.

    Args:
        difference: between two methods, of rates or of means.
        deviation: standard deviation over videos of the difference between means; without it only rates are shown.
        table: a run or a committed table whose rates and standard deviations are used instead of assumed ones.
        videos: planned number.
        methods: how many methods are compared.

    Raises:
        UsageError: the difference or the deviation is not positive, a difference of rates is above 1, both
            ``deviation`` and ``table`` are given, or the table has no values of single videos.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.stats import sample_size
    from vcfe_bench.stats.power import POWER

    if deviation is not None and table is not None:
        raise UsageError("--sd and --table both say how much the difference varies: give one of them")
    if not 0 < difference <= (1 if deviation is None and table is None else difference):
        raise UsageError(f"--detect has to be a positive difference, of rates at most 1, not {difference:g}")
    if deviation is not None and deviation <= 0:
        raise UsageError(f"--sd has to be positive, not {deviation:g}")
    level = sample_size.level_of_comparisons(methods)
    if table is not None:
        rows = _of_table(table, difference, videos, level)
    elif deviation is not None:
        rows = iter([("mean", "any", f"{difference:g} less", *_means(difference, deviation, videos, level))])
    else:
        rows = (("rate", f"{p:.2f}", *_rates(p, difference, videos, level)) for p in RATES if p + 1e-9 >= difference)
    pairs = max(methods * (methods - 1) // 2, 1)
    console = Console(highlight=False)
    console.print(
        f"Paired tests of {methods} methods, two-sided, 5 % for all {pairs} comparisons together (Holm).",
        soft_wrap=True,
    )
    shown = Table("metric", "better", "worse", f"power at n = {videos}", f"n for {POWER:.0%} power", box=None)
    for row in rows:
        shown.add_row(*map(escape, row))
    console.print(shown)
    if table is not None:
        console.print(
            "better: the values of the table's methods. sd: of the difference between two methods over videos, the "
            "largest among those of the table (of one method, √2 times its own). Set metrics are not compared.",
            soft_wrap=True,
        )


def _of_table(path: Path, difference: float, videos: int, level: float) -> Iterator[tuple[str, ...]]:
    """A row for each method and rate, and one for each mean, among the metrics that decide and have a direction."""
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.results.gate import files
    from vcfe_bench.results.variation import variation

    result = files.read(path)
    if result.records is None:
        raise UsageError(f"{path} has no values of single videos: write it again with vcfe-bench check RUN --update")
    found = variation(result)
    if not found:
        raise UsageError(f"{path} has no metric of single videos among those that decide")
    for each in found:
        if each.rate is None:
            better, worse = f"any, sd {each.deviation:.3g}", f"{difference:g} worse"
            yield each.metric, better, worse, *_means(difference, each.deviation, videos, level)
        elif each.rate + 1e-9 < difference:
            yield each.metric, f"{each.rate:.3g} ({each.method})", "none", "", ""
        else:
            yield each.metric, f"{each.rate:.3g} ({each.method})", *_rates(each.rate, difference, videos, level)


def _rates(better: float, difference: float, videos: int, level: float) -> tuple[str, str, str]:
    """The worse rate, the power, and the number of videos."""
    from vcfe_bench.stats.power import power_of_rates
    from vcfe_bench.stats.sample_size import videos_for_rates

    worse = max(round(better - difference, 9), 0.0)
    power = power_of_rates(better, worse, videos, level)
    return f"{worse:.3g}", f"{power:.2f}", _videos(videos_for_rates(better, worse, level))


def _means(difference: float, deviation: float, videos: int, level: float) -> tuple[str, str]:
    """The power and the number of videos."""
    from vcfe_bench.stats.sample_size import power_of_means, videos_for_means

    power = power_of_means(difference, deviation, videos, level)
    return f"{power:.2f}", _videos(videos_for_means(difference, deviation, level))


def _videos(number: int | None) -> str:
    return "more than a million" if number is None else f"{number:,}"
