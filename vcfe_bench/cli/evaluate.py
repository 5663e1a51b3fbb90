"""``vcfe-bench evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option, Typer

from vcfe_bench.cli import target as flags

if TYPE_CHECKING:
    from vcfe_bench.plugins.dataset import Dataset as DatasetPlugin
    from vcfe_bench.plugins.terms import Split

evaluate_app = Typer(help="Evaluate a target, a generator, or how methods depend on the target.", no_args_is_help=True)

Dataset = Annotated[str, Option(help="Dataset spec.")]
TargetName = Annotated[str, Option(help="Target spec; by default the dataset's target.")]
GeneratorName = Annotated[str, Option(help="Generator spec; by default the dataset's generator.")]
Limit = Annotated[int, Option(help="Number of videos.", min=1)]
SplitName = Annotated[str, Option(help="Split of the dataset: train, validation or test.")]


@evaluate_app.command(
    epilog="Example: vcfe-bench evaluate target --dataset shape_moving --limit 1000\n\n"
    "Or: vcfe-bench evaluate target --dataset shape_moving --target m_swin,m_swin_r,m_c3d --out targets.csv"
)
def target(
    dataset: Dataset,
    target: Annotated[str, Option(help="Target specs, separated by commas; by default the dataset's target.")] = "",
    split: SplitName = "test",
    limit: Limit = 1000,
    attack: Annotated[
        str, Option(help="Method spec of the attack that robust accuracy is measured with.")
    ] = "pgd[random_start=true]",
    robust_limit: Annotated[int, Option(help="Number of videos to attack.", min=1)] = 200,
    out: Annotated[Path | None, Option(help="CSV file to write, one row per target.")] = None,
    force: flags.Force = False,
) -> None:
    """Measure accuracy, calibration, robust accuracy and the dataset's control experiments."""
    import pandas as pd

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import apart, specs
    from vcfe_bench.plugins.registry import METHODS, frozen_target
    from vcfe_bench.workflows.evaluate_models import evaluate_target

    data = apart.dataset(dataset)
    models = [frozen_target(spec) for spec in specs.split(target or data.target)]
    if out and not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no directory {out.parent}")
    part = _split(data, split)
    for model in models:
        flags.check(model, data, part, force)
    results = {m.spec: evaluate_target(m, data, METHODS.build(attack), limit, robust_limit, part) for m in models}
    _print(results)
    if out:
        pd.DataFrame.from_dict(results, orient="index").rename_axis("target").to_csv(out)


@evaluate_app.command(epilog="Example: vcfe-bench evaluate generator --dataset shape_moving --limit 200")
def generator(
    dataset: Dataset,
    generator: GeneratorName = "",
    target: TargetName = "",
    split: SplitName = "test",
    limit: Limit = 200,
    steps: Annotated[int, Option(help="Denoising steps per sample.", min=1)] = 15,
    noises: Annotated[int, Option(help="Samples from one first frame, to measure the variety of motions.", min=1)] = 64,
    force: flags.Force = False,
) -> None:
    """Measure reconstruction error, repeatability, and the coherence and variety of samples."""
    from vcfe_bench.plugins import apart
    from vcfe_bench.plugins.registry import GENERATORS, frozen_target
    from vcfe_bench.workflows.evaluate_models import evaluate_generator

    data = apart.dataset(dataset)
    model = frozen_target(target or data.target)
    video_generator = GENERATORS.build(generator or data.generator)
    part = _split(data, split)
    flags.check(model, data, part, force)
    results = evaluate_generator(video_generator, model, data, limit, steps, noises, part)
    _print({video_generator.spec: results})


def _split(dataset: DatasetPlugin, name: str) -> Split:
    from vcfe_bench.core.errors import UsageError, nearest
    from vcfe_bench.plugins.terms import SPLITS

    for split in SPLITS:
        if split == name and dataset.size(split):
            return split
        if split == name:
            raise UsageError(f"dataset '{dataset.spec}' has no videos in its {split} split")
    raise UsageError(f"unknown split '{name}'; {nearest(name, SPLITS)}")


@evaluate_app.command(
    epilog="Example: vcfe-bench evaluate randomisation --methods bttf,pgd --dataset shape_moving --limit 8"
)
def randomisation(
    methods: Annotated[str, Option(help="Method specs, separated by commas.")],
    dataset: Dataset,
    target: TargetName = "",
    generator: GeneratorName = "",
    limit: Annotated[int, Option(help="Number of videos.", min=1)] = 8,
    goals: Annotated[str, Option(help="one, all, SRC:DST, or a value to reach.")] = "one",
    stages: Annotated[int, Option(help="Number of targets, with evenly more random layers.", min=1)] = 4,
    split: SplitName = "test",
    out: Annotated[Path | None, Option(help="CSV file to write.")] = None,
    force: flags.Force = False,
) -> None:
    """Randomise the target layer by layer, from its output, and measure how similar the edits of methods stay."""
    import pandas as pd
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.runs.setup import Request, resolve
    from vcfe_bench.workflows.randomise_target import check_with

    if out and not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no directory {out.parent}")
    chosen = tuple(specs.split(methods))
    request = Request(chosen, dataset, split, limit, goals, target or None, generator or None)  # type: ignore[arg-type]
    setup = resolve(request)
    flags.check(setup.target, setup.dataset, request.split, force)
    progress = Console(stderr=True)
    rows = check_with(setup, stages, lambda method, done, total: progress.print(f"{escape(method)}: {done} of {total}"))
    table = Table("method", "random layers", "similarity of the edits", "95 % interval", box=None)
    for row in rows:
        cosine = row.cosine
        interval = f"{cosine.low:.3f} to {cosine.high:.3f}"
        table.add_row(escape(row.method), f"{row.randomised} of {row.layers}", f"{cosine.value:.3f}", interval)
    Console().print(table)
    if out:
        records = [
            (r.method, r.randomised, r.layers, r.cosine.value, r.cosine.low, r.cosine.high, r.cosine.n) for r in rows
        ]
        columns = ["method", "randomised", "layers", "cosine", "cosine_low", "cosine_high", "n"]
        pd.DataFrame(records, columns=columns).to_csv(out, index=False)


def _print(results: Mapping[str, Mapping[str, object]]) -> None:
    """Print a table with one column per spec."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("measure", *map(escape, results), box=None)
    for name in next(iter(results.values())):
        values = [result[name] for result in results.values()]
        table.add_row(name, *(f"{v:.4f}" if isinstance(v, float) else escape(str(v)) for v in values))
    Console().print(table)
