"""``vcfe-bench dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

from typer import Argument, Option, Typer, echo

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

SHOWN = 10
"""How many problems ``check`` tells."""

dataset_app = Typer(help="Look at a dataset.", no_args_is_help=True)


@dataset_app.callback()
def _group() -> None:
    """Look at a dataset."""


@runtime_checkable
class Inventoried(Protocol):
    """A dataset that is read from files and can say what is wrong with them."""

    def inventory(self) -> pd.DataFrame:
        """All videos; columns ``id``, ``split``, ``label`` (class name or value), ``problem`` (empty: usable)."""


@dataset_app.command(epilog="Example: vcfe-bench dataset card shape_moving")
def card(name: Annotated[str, Argument(help="Dataset spec.")]) -> None:
    """Print the dataset's card: what it holds, its splits, what is known of its traps."""
    from rich.console import Console
    from rich.markdown import Markdown

    from vcfe_bench.plugins.registry import DATASETS

    Console().print(Markdown(DATASETS.build(name).card()))


@dataset_app.command(epilog="Example: vcfe-bench dataset check mead --root /data/MEAD")
def check(
    name: Annotated[str, Argument(help="Dataset spec.")],
    root: Annotated[Path | None, Option(help="The local copy; by default that of the spec, or of VCFE_DATA.")] = None,
) -> None:
    """Read a local copy, prepare all its videos, and say what it holds: counts by split and class, first problems."""
    from rich.console import Console

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs
    from vcfe_bench.plugins.registry import DATASETS

    plugin, given = specs.parse(name)
    if root is not None:
        given = {**given, "root": str(root)}
    dataset = DATASETS.build(specs.format(plugin, given))
    if not isinstance(dataset, Inventoried):
        raise UsageError(f"dataset '{dataset.spec}' is not read from a local copy: there is nothing to check")
    found = dataset.inventory()
    usable = found[found["problem"] == ""]
    console = Console()
    console.print(f"{dataset.spec}: {len(usable)} videos can be used", highlight=False, markup=False, soft_wrap=True)
    console.print(_ranges(usable) if dataset.values else _counts(usable))
    bad = found[found["problem"] != ""]
    for row in bad.head(SHOWN).to_dict("records"):
        where = f"{row['split']}: " if row["split"] else ""
        echo(f"{where}{row['id']}: {row['problem']}")
    if len(bad) > SHOWN:
        echo(f"and {len(bad) - SHOWN} more problems")


def _counts(usable: pd.DataFrame) -> Table:
    """Videos by class and split."""
    from rich.table import Table

    table = Table("class", "train", "test", box=None)
    for label, group in usable.groupby("label"):
        table.add_row(str(label), *(str((group["split"] == split).sum()) for split in ("train", "test")))
    table.add_row("all", *(str((usable["split"] == split).sum()) for split in ("train", "test")))
    return table


def _ranges(usable: pd.DataFrame) -> Table:
    """Number, least, mean and greatest value by split."""
    from rich.table import Table

    table = Table("split", "videos", "least", "mean", "greatest", box=None)
    for split, group in usable.groupby("split", sort=False):
        values = group["label"].astype(float)
        table.add_row(
            str(split), str(len(group)), *(f"{value:.4g}" for value in (values.min(), values.mean(), values.max()))
        )
    return table
