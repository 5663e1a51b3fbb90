"""``vcfe-bench evaluate``."""

from __future__ import annotations

from typing import Annotated

from typer import Option, Typer

evaluate_app = Typer(help="Measure a target or a generator on a dataset's test split.", no_args_is_help=True)

Dataset = Annotated[str, Option(help="Dataset spec.")]
TargetName = Annotated[str, Option(help="Target spec; by default the dataset's own.")]
GeneratorName = Annotated[str, Option(help="Generator spec; by default the dataset's own.")]
Limit = Annotated[int, Option(help="Number of test videos.", min=1)]


@evaluate_app.command(epilog="Example: vcfe-bench evaluate target --dataset shape_moving --limit 1000")
def target(
    dataset: Dataset,
    target: TargetName = "",
    limit: Limit = 1000,
    attack: Annotated[str, Option(help="Spec of the attack for robust accuracy.")] = "pgd[random_start=true]",
    robust_limit: Annotated[int, Option(help="Number of test videos that are attacked.", min=1)] = 200,
) -> None:
    """Accuracy, calibration, robust accuracy and the dataset's own controls."""
    from vcfe_bench.evaluation import evaluate_target
    from vcfe_bench.plugins import DATASETS, METHODS, frozen_target

    data = DATASETS.build(dataset)
    model = frozen_target(target or data.target)
    _print(evaluate_target(model, data, METHODS.build(attack), limit, robust_limit))


@evaluate_app.command(epilog="Example: vcfe-bench evaluate generator --dataset shape_moving --limit 200")
def generator(
    dataset: Dataset,
    generator: GeneratorName = "",
    target: TargetName = "",
    limit: Limit = 200,
    steps: Annotated[int, Option(help="Denoising steps of a sample.", min=1)] = 15,
    noises: Annotated[int, Option(help="Noises of one first frame, to see all directions.", min=1)] = 64,
) -> None:
    """Reconstruction error, coherence and variety of samples, repeatability."""
    from vcfe_bench.evaluation import evaluate_generator
    from vcfe_bench.plugins import DATASETS, GENERATORS, frozen_target

    data = DATASETS.build(dataset)
    model = frozen_target(target or data.target)
    maker = GENERATORS.build(generator or data.generator)
    _print(evaluate_generator(maker, model, data, limit, steps, noises))


def _print(result: dict) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("measure", "value", box=None)
    for name, value in result.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else escape(str(value)))
    Console().print(table)
