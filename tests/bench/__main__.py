"""``python -m tests.bench``: the ratios of ``docs/performance.md``."""

from __future__ import annotations

import argparse
import os

import torch

from tests.bench import scoring, throughput
from vcfe_bench.core.environment import environment


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed ratios; needs the extra parity.")
    parser.add_argument("--part", choices=("scoring", "throughput"), help="only this part")
    parser.add_argument("--share", type=float, default=1.0, help="share of the pairs, for a quick look")
    parser.add_argument("--methods", type=int, default=4, help="methods that share their originals")
    parser.add_argument("--videos", type=int, default=24, help="videos of the run that measures throughput")
    chosen = parser.parse_args()
    machine = environment()["machine"]
    print(f"{machine['cpu']}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    if chosen.part != "throughput":
        print(
            "| pairs, for each of the methods | part | here, s (forward passes) | glued, s (forward passes) | ratio |"
        )
        print("|---|---|---|---|---|")
        for pairs, clip in scoring.SIZES:
            found = scoring.compare(max(2, round(chosen.share * pairs)), clip, chosen.methods)
            print(*found.rows(), sep="\n", flush=True)
    if chosen.part != "scoring":
        ratio = throughput.ratio(chosen.videos)
        print(f"\nTwo workers finish {ratio:.2f} times as many tasks a second as one ({throughput.METHOD}).")


if __name__ == "__main__":
    main()
