"""The flags that describe a classifier of one's own, and the target spec that they stand for."""

from __future__ import annotations

from typing import Annotated

from typer import Option

Weights = Annotated[
    str | None, Option(help="The target's checkpoint: safetensors, or a state dictionary by torch.save.")
]
Classes = Annotated[str | None, Option(help="A text file with the target's class names, one per line.")]
Clip = Annotated[str | None, Option(help="Frames and side of the clips that the target reads, e.g. 16x112.")]
Mean = Annotated[str | None, Option(help="Mean that the target subtracts, one number or one per colour: .45,.45,.45.")]
Std = Annotated[str | None, Option(help="Deviation that it divides by, in the same form.")]


def target_spec(
    target: str | None, weights: str | None, classes: str | None, clip: str | None, mean: str | None, std: str | None
) -> str | None:
    """The spec of ``--target`` with what the other flags add; an import path ``package.module:name`` means ``module``.

    Raises:
        UsageError: flags without a target, one that the spec says already, or not in the right form.
    """
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs

    added: dict[str, object] = {"weights": weights, "classes": classes}
    if clip is not None:
        frames, _, size = clip.partition("x")
        if not (frames.isdecimal() and size.isdecimal()):
            raise UsageError(f"--clip is frames and side, e.g. 16x112, not '{clip}'")
        added |= {"frames": frames, "size": size}
    added |= {"mean": _channels("--mean", mean), "std": _channels("--std", std)}
    given = {name: value for name, value in added.items() if value is not None}
    if target is None:
        if given:
            raise UsageError("--weights, --classes, --clip, --mean and --std describe a target: name it with --target")
        return None
    if ":" in target and "[" not in target:
        return specs.format("module", {"build": target, **given})
    if not given:
        return target
    name, parameters = specs.parse(target)
    twice = sorted(parameters.keys() & given)
    if twice:
        raise UsageError(f"'{twice[0]}' of the target is given twice, in its brackets and by a flag")
    return specs.format(name, {**parameters, **given})


def _channels(flag: str, text: str | None) -> list[str] | None:
    """Three numbers, or one for all three, as they stand in a spec."""
    from vcfe_bench.core.errors import UsageError

    if text is None:
        return None
    pieces = [piece.strip() for piece in text.split(",")]
    try:
        [float(piece) for piece in pieces]
    except ValueError:
        pieces = []
    if len(pieces) not in (1, 3):
        raise UsageError(f"{flag} is one number, or one for each colour: 0.45,0.45,0.45, not '{text}'")
    return pieces * (3 // len(pieces))
