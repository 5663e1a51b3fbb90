"""``vcfe-bench doctor``."""

from __future__ import annotations

from collections import defaultdict
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


def doctor() -> None:
    """Print versions and devices, which parts do not work on this machine and why, and a verdict."""
    from rich.console import Console

    from vcfe_bench.core.text import printable
    from vcfe_bench.workflows.doctor import examine

    console = Console()

    def show(text: str, style: str = "") -> None:
        console.print(printable(text), style=style, markup=False, highlight=False)

    parts: dict[str, list[Part]] = defaultdict(list)
    for part in examine():
        parts[part.kind].append(part)
    show(", ".join(f"{part.name} {part.about}" for part in parts.pop("version")))
    for part in parts.pop("device"):
        show(f"{part.name}: {part.about}")
    broken, vital = 0, []
    for kind, found in parts.items():
        problems = [part for part in found if part.problem is not None]
        broken += len(problems)
        vital += [f"{kind} {part.name}" for part in problems if (kind, part.name) in QUICK_START]
        show(f"{kind}s: {len(found) - len(problems)} of {len(found)} work as they are")
        for reason, names in _by_reason(problems).items():
            show(f"  {', '.join(names)}: {reason}", "yellow")
    show(_verdict(broken, vital), "bold")


def _by_reason(problems: list[Part]) -> dict[str, list[str]]:
    """Names of the parts that have a problem in common, so that a screen holds them all."""
    found: dict[str, list[str]] = defaultdict(list)
    for part in problems:
        found[(part.problem or "").replace(f"'{part.name}' ", "")].append(part.name)
    return found


def _verdict(broken: int, vital: list[str]) -> str:
    if vital:
        return f"The quick start does not work: {', '.join(vital)} (see above). Install the package again."
    if not broken:
        return "Everything works."
    return (
        f"The quick start works. {broken} other parts need something first (see above): a path, a package or weights. "
        "Tables leave out what is not available."
    )
