"""``vcfe-bench score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vcfe_bench.cli import target as flags


def score(
    directory: Annotated[Path | None, Argument(metavar="[DIR]", help="The directory of a run.")] = None,
    metrics: Annotated[str | None, Option(help="Metrics, separated by commas; by default all.")] = None,
    originals: Annotated[Path | None, Option(help="Videos of the dataset's test split, without loss.")] = None,
    counterfactuals: Annotated[Path | None, Option(help="Their counterfactuals, under the same names.")] = None,
    goals: Annotated[
        Path | None, Option(help="csv with the columns name and goal: a class, a value, or the text of a goal.")
    ] = None,
    dataset: Annotated[str | None, Option(help="The dataset of the originals.")] = None,
    target: Annotated[
        str | None, Option(help="The target, or package.module:name of your own; by default the dataset's.")
    ] = None,
    method: Annotated[
        str | None, Option(help="The row's name; by default that of the counterfactuals' folder.")
    ] = None,
    out: Annotated[Path | None, Option(help="The new run's directory.")] = None,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Score the stored counterfactuals of a run anew, or videos that another program made.

    The second needs --originals, --counterfactuals, --goals, --dataset and --out, and makes a run like any other.
    """
    from rich.console import Console

    from vcfe_bench import external, leaderboard, runner, specs
    from vcfe_bench.display import display
    from vcfe_bench.errors import UsageError

    console = Console()
    chosen = None if metrics is None else tuple(specs.split(metrics))
    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    given = (originals, counterfactuals, goals, dataset, spec, method, out)
    if directory is not None:
        if given != (None,) * len(given):
            raise UsageError("either score a run again, or score given videos into --out, not both")
        with display(console) as observer:
            runner.rescore(directory, chosen, observer)
    else:
        if originals is None or counterfactuals is None or goals is None or dataset is None or out is None:
            raise UsageError("name a run, or --originals, --counterfactuals, --goals, --dataset and --out")
        name = method or counterfactuals.resolve().name
        with display(console) as observer:
            asked = external.Given(originals, counterfactuals, goals, dataset, name, spec)
            directory = external.score(asked, out, chosen, observer)
    console.print(leaderboard.render(leaderboard.load(directory)))
