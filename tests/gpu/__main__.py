"""``python -m tests.gpu``: measure on the first CUDA device, and write one JSON file; exit code 1 if something differs.

It needs no weights from a hub, and takes at most six minutes. Without a CUDA device it says so and exits with code 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from tests.gpu import devices_agree, large_model, shared_card
from vcfe_bench.core.environment import environment

DEVICE = "cuda:0"
PARTS: dict[str, Callable[[str], Any]] = {
    "embedded": devices_agree.compare,
    "wan_14b": large_model.measure,
    "two_workers": shared_card.compare,
}


def report(device: str, parts: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The results of all parts, and the seconds that each took; of one that raises an exception, the exception."""
    found: dict[str, Any] = {"environment": environment(), "seconds": {}}
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
        found["memory_gb"] = round(torch.cuda.mem_get_info(device)[1] / 1e9, 1)
    for name, part in parts.items():
        start = perf_counter()
        try:
            found[name] = part(device)
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        found["seconds"][name] = round(perf_counter() - start, 1)
        print(f"{name}: {found['seconds'][name]} s\n{json.dumps(found[name], indent=1)}", flush=True)
    return found


def passed(found: dict[str, Any]) -> bool:
    """Whether devices agree, two workers agree with one, and no part failed."""
    failed = any("error" in found[name] for name in PARTS if isinstance(found.get(name), dict))
    return not failed and found["embedded"]["held"] and found["two_workers"]["held"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description="Check and measure a CUDA device.")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the file to write (default: gpu.json)")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device: nothing was measured.")
        return 0
    found = report(DEVICE, PARTS)
    chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{'passed' if passed(found) else 'FAILED'}: {chosen.out}")
    return 0 if passed(found) else 1


if __name__ == "__main__":
    sys.exit(main())
