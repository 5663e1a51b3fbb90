"""``vcfe-bench doctor``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcfe_bench.workflows.doctor import Part

QUICK_START = (
    ("method", "pgd"),
    ("dataset", "shape_moving"),
    ("target", "m_swin"),
    ("generator", "wan_shape_moving"),
    ("metric", "fr"),
)
"""Parts without which the quick start does not run, by kind and name."""
NEEDS = {
    "parameter": "need a parameter, such as a path or weights ('list' shows them)",
    "target": "need a --target",
    "download": "download their weights on first use",
    "dataset": "are not for {world}",
}
"""What plug-ins that do not work as they are need."""


def doctor() -> None:
    """Print versions and devices, which parts do not work on this machine and why, and a verdict.

    Nothing is downloaded.
    """
    from rich.console import Console

    from vcfe_bench.core.text import printable
    from vcfe_bench.workflows.doctor import WORLD, examine

    console = Console()

    def show(text: str, style: str = "") -> None:
        console.print(printable(text), style=style, markup=False, highlight=False)

    parts: dict[str, list[Part]] = defaultdict(list)
    for part in examine():
        parts[part.kind].append(part)
    show(", ".join(f"{part.name} {part.about}" for part in parts.pop("version")))
    for about, names in _by(parts.pop("device"), "about").items():
        show(f"{', '.join(names)}: {about}")
    works = [f"{kind}s {sum(p.problem is None for p in found)} of {len(found)}" for kind, found in parts.items()]
    show(f"Work as they are: {', '.join(works)}")
    plugins = [part for found in parts.values() for part in found]
    unfit = [part for part in plugins if part.problem is not None]
    for need, text in NEEDS.items():
        if names := [part.name for part in unfit if part.need == need]:
            show(f"{len(names)} {text.format(world=WORLD)}: {', '.join(names)}")
    for reason, names in _by((part for part in unfit if part.need == "repair"), "problem").items():
        show(f"{', '.join(names)}: {reason}", "yellow")
    vital = [f"{part.kind} {part.name}" for part in unfit if (part.kind, part.name) in QUICK_START]
    show(_verdict(len(unfit), vital), "bold")


def _by(parts: Iterable[Part], field: str) -> dict[str, list[str]]:
    """Names of parts by what they have in common."""
    found: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        found[getattr(part, field).replace(f"'{part.name}' ", "")].append(part.name)
    return found


def _verdict(unfit: int, vital: list[str]) -> str:
    if vital:
        return f"The quick start does not work: {', '.join(vital)} (see above). Install the package again."
    if not unfit:
        return "Everything works."
    return f"The quick start works; {unfit} other parts need something first. Tables leave out what is not available."
