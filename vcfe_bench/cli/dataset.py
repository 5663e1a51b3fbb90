"""``vcfe-bench dataset``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

from typer import Argument, Option, Typer, echo

from vcfe_bench.cli import target as flags

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

MAX_PROBLEMS = 10
"""Number of problems that ``check`` prints."""

dataset_app = Typer(help="Inspect a dataset, or export its videos.", no_args_is_help=True)


class Form(StrEnum):
    """Forms of an exported video."""

    video = "video"
    npy = "npy"
    png = "png"


@dataset_app.callback()
def _group() -> None:
    """Inspect a dataset, or export its videos."""


@runtime_checkable
class Inventoried(Protocol):
    """A dataset that is read from files and can list its unusable videos."""

    def inventory(self) -> pd.DataFrame:
        """All videos; columns ``id``, ``split``, ``label`` (class or value), ``problem`` (if unusable), ``remarks``."""


@dataset_app.command(epilog="Example: vcfe-bench dataset card shape_moving")
def card(name: Annotated[str, Argument(help="Dataset spec.")]) -> None:
    """Print the dataset card: content, splits and known pitfalls."""
    from rich.console import Console
    from rich.markdown import Markdown

    from vcfe_bench.plugins.registry import DATASETS

    Console().print(Markdown(DATASETS.build(name).card()))


@dataset_app.command(epilog="Example: vcfe-bench dataset check mead --root /data/MEAD")
def check(
    name: Annotated[str, Argument(help="Dataset spec.")],
    root: Annotated[
        Path | None, Option(help="Folder of the local copy; by default that of the spec, or a folder in VCFE_DATA.")
    ] = None,
) -> None:
    """Prepare all videos of a local copy; print counts by split and class, and the first unusable videos."""
    from rich.console import Console

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.plugins.registry import DATASETS

    plugin, given = specs.parse(name)
    if root is not None:
        given = {**given, "root": str(root)}
    dataset = DATASETS.build(specs.format(plugin, given))
    if not isinstance(dataset, Inventoried):
        raise UsageError(f"dataset '{dataset.spec}' is not read from a local copy, so there is nothing to check")
    videos = dataset.inventory()
    usable = videos[videos["problem"] == ""]
    console = Console()
    console.print(f"{dataset.spec}: {len(usable)} usable videos", highlight=False, markup=False, soft_wrap=True)
    console.print(_ranges(usable) if dataset.values else _counts(usable))
    for column, name in (("problem", "problems"), ("remarks", "remarks")):
        told = videos[videos[column] != ""]
        for row in told.head(MAX_PROBLEMS).to_dict("records"):
            prefix = f"{row['split']}: " if row["split"] else ""
            echo(f"{prefix}{row['id']}: {row[column]}")
        if len(told) > MAX_PROBLEMS:
            echo(f"and {len(told) - MAX_PROBLEMS} more {name}")


@dataset_app.command(epilog="Example: vcfe-bench dataset chance shape_crowd --limit 32 --draws 8")
def chance(
    name: Annotated[str, Argument(help="Dataset spec.")],
    limit: Annotated[int, Option(help="Number of videos.", min=1)] = 32,
    draws: Annotated[int, Option(help="Random draws for each video and goal.", min=1)] = 8,
    split: Annotated[str, Option(help="Split of the dataset.")] = "test",
    goals: Annotated[str, Option(help="one, all, SRC:DST, or a value to reach.")] = "one",
    target: Annotated[str | None, Option(help="Target spec; by default the dataset's target.")] = None,
    generator: Annotated[str | None, Option(help="Generator spec; by default the dataset's generator.")] = None,
) -> None:
    """Measure the chance level: how often a video of random noise meets the goal, and how often it keeps the rest."""
    from rich.console import Console
    from rich.table import Table

    from vcfe_bench.runs.setup import Request
    from vcfe_bench.workflows.chance import measure

    request = Request((), name, split, limit, goals, target, generator)  # type: ignore[arg-type]
    progress = Console(stderr=True)
    with progress.status("drawing") as status:
        levels = measure(request, draws, lambda done, total: status.update(f"drawing: {done} of {total} queries"))
    table = Table("measure", "share of draws", "95 % interval", box=None)
    for measured, level in levels.items():
        table.add_row(measured, f"{level.value:.3f}", f"{level.low:.3f} to {level.high:.3f}")
    console = Console()
    console.print(table)
    some = next(iter(levels.values()))
    console.print(f"{some.n + some.missing} draws for {some.clusters} videos", highlight=False)


@dataset_app.command(epilog="Example: vcfe-bench dataset export shape_moving --limit 16 --out exported")
def export(
    name: Annotated[str, Argument(help="Dataset spec.")],
    out: Annotated[Path, Option(help="New folder, with originals/ and goals.csv.")],
    limit: Annotated[int, Option(help="Number of videos, the same as those of 'run'.", min=1)] = 8,
    split: Annotated[str, Option(help="Split of the dataset: train, validation or test.")] = "test",
    goals: Annotated[str, Option(help="one, SRC:DST, a group of goals, or a value to reach; as for 'run'.")] = "one",
    seed: Annotated[int, Option(help="Base random seed, which goals are drawn with.")] = 0,
    form: Annotated[
        Form, Option("--format", help="A lossless video file, a .npy array, or a folder of PNG files for each video.")
    ] = Form.video,
    target: Annotated[
        str | None,
        Option(help="Target spec, or package.module:name of your own network; by default the dataset's target."),
    ] = None,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Write the originals and goals that 'score' expects, to make counterfactuals with any other program."""
    import shlex

    from rich.console import Console

    from vcfe_bench.plugins import names

    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    names.check("dataset", (name,))
    names.check("target", (spec,))
    from vcfe_bench.runs.setup import Request
    from vcfe_bench.workflows import export_dataset

    request = Request((), name, split, limit, goals, spec, seed=seed)  # type: ignore[arg-type]
    with Console(stderr=True).status("running the target") as status:
        written = export_dataset.export(
            request, out, form.value, lambda done, total: status.update(f"writing: {done} of {total} videos")
        )
    given = {"originals": written.originals, "counterfactuals": "YOURS", "goals": written.goals, "dataset": name}
    given |= {"split": split} if split != "test" else {}
    given |= {"target": spec} if spec else {}
    options = " ".join(f"--{option} {shlex.quote(str(value))}" for option, value in given.items())
    echo(f"wrote {written.videos} videos to {written.originals}, and what to change in {written.goals}")
    echo("Write each counterfactual under the name of its original to a folder of your own (YOURS), then:")
    echo(f"vcfe-bench score {options} --out runs/yours")


def _counts(usable: pd.DataFrame) -> Table:
    """Number of videos by class and split."""
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.plugins.terms import SPLITS

    table = Table("class", *SPLITS, box=None)
    for label, group in usable.groupby("label"):
        table.add_row(escape(str(label)), *(str((group["split"] == split).sum()) for split in SPLITS))
    table.add_row("all", *(str((usable["split"] == split).sum()) for split in SPLITS))
    return table


def _ranges(usable: pd.DataFrame) -> Table:
    """Number of videos, and smallest, mean and largest value, by split."""
    from rich.table import Table

    table = Table("split", "videos", "min", "mean", "max", box=None)
    for split, group in usable.groupby("split", sort=False):
        values = group["label"].astype(float)
        table.add_row(
            str(split), str(len(group)), *(f"{value:.4g}" for value in (values.min(), values.mean(), values.max()))
        )
    return table
