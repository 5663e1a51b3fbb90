"""``python -m tests.torture [--short]``: what can go wrong is done on purpose, counted, and printed as one table.

The exit code is 1 if anything ended otherwise than promised; those cases are printed below the table.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.torture import accidents, damage, hostile, malformed
from tests.torture.counts import Line, table
from tests.torture.server import prepare

PARTS = {"accidents": accidents.lines, "damage": damage.lines, "hostile": hostile.lines, "malformed": malformed.lines}


def main(arguments: list[str]) -> int:
    """Do everything, or the parts that are named, in the short form with ``--short``."""
    short = "--short" in arguments
    named = [name for name in arguments if name in PARTS] or list(PARTS)
    lines: list[Line] = []
    start = time.monotonic()
    with TemporaryDirectory(prefix="torture-") as folder:
        (Path(folder) / "cache").mkdir()
        prepare(Path(folder) / "cache")
        for name in named:
            (Path(folder) / name).mkdir(exist_ok=name == "accidents")
            place = Path(folder) / name if name == "accidents" else Path(folder) / name / "work"
            for line in PARTS[name](place, short):
                print(f"{time.monotonic() - start:5.0f} s  {line.what}: {line.tried}", file=sys.stderr, flush=True)
                lines.append(line)
    print(table(lines))
    failures = [failure for line in lines for failure in line.failures]
    for failure in failures:
        print(f"- {failure}", file=sys.stderr)
    return int(
        bool(failures) or any(line.outcomes.get(name) for line in lines for name in ("records lost", "records doubled"))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
