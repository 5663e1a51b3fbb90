"""The options that describe a target network, and the target spec that they amount to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

from typer import Option, echo

if TYPE_CHECKING:
    from vcfe_bench.plugins.dataset import Dataset
    from vcfe_bench.plugins.target import Target
    from vcfe_bench.plugins.terms import Split

Weights = Annotated[
    str | None, Option(help="Checkpoint of the target: safetensors, or a state dictionary saved with torch.save.")
]
Classes = Annotated[str | None, Option(help="Text file with the target's class names, one per line.")]
Clip = Annotated[str | None, Option(help="Frames and side length of the target's input clips, e.g. 16x112.")]
Mean = Annotated[str | None, Option(help="Mean that the target subtracts: one number, or one per channel.")]
Std = Annotated[str | None, Option(help="Standard deviation that the target divides by, in the same form.")]

Force = Annotated[
    bool, Option("--force", help="Run a target that fails the checks of its statistics, outputs and gradients.")
]

InProcess = Annotated[
    bool, Option("--in-process", help="Run methods in this process, as a debugger needs it; without limits.")
]


def executor(in_process: bool) -> AbstractContextManager[None]:
    """A block in which methods run in this process if asked, otherwise in a worker process."""
    from vcfe_bench.executors import choice
    from vcfe_bench.executors.in_process import InProcess

    return choice.using(InProcess()) if in_process else nullcontext()


def check(target: Target, dataset: Dataset, split: Split, force: bool) -> None:
    """Check a target before it is evaluated; warnings go to standard error.

    Raises:
        UsageError: its results would be meaningless, and ``force`` is not set.
    """
    from vcfe_bench.runs import sanity

    sanity.check_with_labels(target, dataset, split, force, lambda text: echo(f"warning: {text}", err=True))


def target_spec(
    target: str | None, weights: str | None, classes: str | None, clip: str | None, mean: str | None, std: str | None
) -> str | None:
    """The spec of ``--target`` with the other options as parameters; ``package.module:name`` becomes a ``module`` spec.

    Raises:
        UsageError: options without a target, malformed options, or one that the spec sets as well.
    """
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs

    added: dict[str, object] = {"weights": weights, "classes": classes}
    if clip is not None:
        frames, _, size = clip.partition("x")
        if not (frames.isdecimal() and size.isdecimal()):
            raise UsageError(f"--clip takes frames and side length, such as 16x112, not '{clip}'")
        added |= {"frames": frames, "size": size}
    added |= {"mean": _channels("--mean", mean), "std": _channels("--std", std)}
    given = {name: value for name, value in added.items() if value is not None}
    if target is None:
        if given:
            raise UsageError(
                "--weights, --classes, --clip, --mean and --std describe a target: choose it with --target"
            )
        return None
    if ":" in target and "[" not in target:
        return specs.format("module", {"build": target, **given})
    if not given:
        return target
    name, parameters = specs.parse(target)
    duplicates = sorted(parameters.keys() & given)
    if duplicates:
        raise UsageError(f"'{duplicates[0]}' of the target is given twice, in brackets and as an option")
    return specs.format(name, {**parameters, **given})


def _channels(option: str, text: str | None) -> list[str] | None:
    """One value per channel, as text for a spec; a single number is used for all three."""
    from vcfe_bench.core.errors import UsageError

    if text is None:
        return None
    pieces = [piece.strip() for piece in text.split(",")]
    try:
        [float(piece) for piece in pieces]
    except ValueError:
        pieces = []
    if len(pieces) not in (1, 3):
        raise UsageError(f"{option} takes one number, or one per channel such as 0.45,0.45,0.45, not '{text}'")
    return pieces * (3 // len(pieces))
