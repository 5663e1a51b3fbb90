"""What can go wrong is done on purpose and counted: ``python -m tests.torture [--every N] [PART …]`` prints one table.

The exit code is 1 if anything ended otherwise than promised; those cases are printed on the way.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.torture import accidents, damage, hostile, malformed
from tests.torture.counts import Line, table
from tests.torture.server import prepare

PARTS = {"accidents": accidents.lines, "damage": damage.lines, "hostile": hostile.lines, "malformed": malformed.lines}


def main(arguments: list[str]) -> int:
    """Try all cases, or those of the parts that are named; with ``--every N``, every N-th of them."""
    parser = ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"{', '.join(PARTS)}; by default all"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try every N-th case only")
    asked = parser.parse_args(arguments)
    lines: list[Line] = []
    start = time.monotonic()
    with TemporaryDirectory(prefix="torture-") as folder:
        (Path(folder) / "cache").mkdir()
        prepare(Path(folder) / "cache")
        for name in asked.parts or PARTS:
            (Path(folder) / name).mkdir()
            for line in PARTS[name](Path(folder) / name, asked.every):
                print(f"{time.monotonic() - start:5.0f} s  {line.what}: {line.tried}", file=sys.stderr, flush=True)
                for failure in line.failures:
                    print(f"- {failure}", file=sys.stderr, flush=True)
                lines.append(line)
    print(table(lines))
    lost = any(line.outcomes[name] for line in lines for name in ("records lost", "records doubled"))
    return int(lost or any(line.failures for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
