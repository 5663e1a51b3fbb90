"""What a micro-batch takes of a machine."""

from __future__ import annotations

import math
from dataclasses import replace

from vcfe_bench.executors.interface import Needs
from vcfe_bench.plugins.method import Method
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.setup import Setup

SECONDS_PER_PIXEL = 3600 / 2**16
"""The longest that a micro-batch may take, by the number of pixels of its clips: an hour for 16 frames of 64x64, four
days for 33 frames of 448x448. By ``vcfe-bench plan``, the most expensive methods need less than a fiftieth of it, with
the embedded generators on one core and with Wan2.1-14B on an A100."""


def needs_of(setup: Setup, method: Method) -> Needs:
    """The needs of a micro-batch of a method: its attribute ``needs`` if it has one, else ``THREADS`` cores and a GPU.

    The GPU is only needed where the target is on one. The time is limited by ``SECONDS_PER_PIXEL``, at least an hour.
    """
    gpus = 1 if setup.target.device.type == "cuda" else 0
    needs: Needs = getattr(method, "needs", Needs(cpus=THREADS, gpus=gpus))
    seconds = SECONDS_PER_PIXEL * method.width * math.prod(setup.dataset.shape)
    return needs if needs.seconds is not None else replace(needs, seconds=max(3600.0, seconds))
