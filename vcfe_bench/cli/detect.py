"""``vcfe-bench plan --detect``: how many videos it takes to see a difference between methods."""

from __future__ import annotations

RATES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Rates of the better method for which the number of videos is shown."""


def print_detectable(difference: float, deviation: float | None, videos: int, methods: int) -> None:
    """Print the power of the paired tests of a table at this number of videos, and the number that has 80 %.

    Args:
        difference: between two methods, of rates or of means.
        deviation: standard deviation over videos of the difference between means; without it only rates are shown.
        videos: planned number.
        methods: how many methods the table compares.

    Raises:
        UsageError: the difference or the deviation is not positive, or a difference of rates is above 1.
    """
    from rich.console import Console
    from rich.table import Table

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.stats import sample_size
    from vcfe_bench.stats.power import POWER, power_of_rates

    if not 0 < difference <= (1 if deviation is None else difference):
        raise UsageError(f"--detect has to be a positive difference, of rates at most 1, not {difference:g}")
    if deviation is not None and deviation <= 0:
        raise UsageError(f"--sd has to be positive, not {deviation:g}")
    level = sample_size.level_of_comparisons(methods)
    pairs = max(methods * (methods - 1) // 2, 1)
    console = Console(highlight=False)
    console.print(
        f"Paired tests of {methods} methods, two-sided, 5 % for all {pairs} comparisons together (Holm).",
        soft_wrap=True,
    )
    table = Table("metric", "better", "worse", f"power at n = {videos}", f"n for {POWER:.0%} power", box=None)
    if deviation is None:
        for better in RATES:
            worse = round(better - difference, 9)
            if worse >= 0:
                power = power_of_rates(better, worse, videos, level)
                needed = sample_size.videos_for_rates(better, worse, level)
                table.add_row("rate", f"{better:.2f}", f"{worse:.3g}", f"{power:.2f}", _videos(needed))
    else:
        power = sample_size.power_of_means(difference, deviation, videos, level)
        needed = sample_size.videos_for_means(difference, deviation, level)
        table.add_row("mean", "any", f"{difference:g} less", f"{power:.2f}", _videos(needed))
    console.print(table)


def _videos(number: int | None) -> str:
    return "more than a million" if number is None else f"{number:,}"
