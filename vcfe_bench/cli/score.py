"""``vcfe-bench score`` and ``vcfe-bench rescore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vcfe_bench.cli import target as flags

Metrics = Annotated[str | None, Option(help="Metrics, separated by commas; by default all.")]


def score(
    originals: Annotated[Path, Option(help="Videos of the dataset's test split, without loss.")],
    counterfactuals: Annotated[Path, Option(help="Their counterfactuals, under the same names.")],
    goals: Annotated[Path, Option(help="csv with the columns name and goal: a class, a value, or the text of a goal.")],
    dataset: Annotated[str, Option(help="The dataset of the originals.")],
    out: Annotated[Path, Option(help="The new run's directory.")],
    metrics: Metrics = None,
    target: Annotated[
        str | None, Option(help="The target, or package.module:name of your own; by default the dataset's.")
    ] = None,
    method: Annotated[
        str | None, Option(help="The row's name; by default that of the counterfactuals' folder.")
    ] = None,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Score videos that another program made, as a run like any other."""
    from rich.console import Console

    from vcfe_bench.cli.progress import display
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import formats, leaderboard
    from vcfe_bench.workflows import score_external as external

    console = Console()
    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    name = method or counterfactuals.resolve().name
    given = external.Given(originals, counterfactuals, goals, dataset, name, spec)
    with display(console) as observer:
        directory = external.score(given, out, None if metrics is None else tuple(specs.split(metrics)), observer)
    console.print(formats.render_run(leaderboard.load(directory)))


def rescore(
    directory: Annotated[Path, Argument(metavar="DIR", help="The directory of a run.")], metrics: Metrics = None
) -> None:
    """Score the stored counterfactuals of a run anew; nothing is generated."""
    from rich.console import Console

    from vcfe_bench.cli.progress import display
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import formats, leaderboard
    from vcfe_bench.workflows import run as runner

    console = Console()
    with display(console) as observer:
        runner.rescore(directory, None if metrics is None else tuple(specs.split(metrics)), observer)
    console.print(formats.render_run(leaderboard.load(directory)))
