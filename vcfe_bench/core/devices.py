"""The device that networks run on."""

from __future__ import annotations

import os
import re

import torch

from vcfe_bench.core.errors import UsageError

CHOSEN, RANK = "VCFE_BENCH_DEVICE", "VCFE_BENCH_RANK"
"""Environment variables, which worker processes inherit: what ``use`` was called with, and the worker's rank on its
machine."""


def use(device: str) -> None:
    """Let ``default`` be a device: ``cpu``, ``mps``, ``cuda``, ``cuda:1``; or ``auto``, in this process and workers.

    Raises:
        UsageError: there is no such device.
    """
    if device != "auto":
        _check(device)
    os.environ[CHOSEN] = device


def default() -> torch.device:
    """The chosen device; for ``auto``, a CUDA device if one is available, otherwise the CPU.

    Of several CUDA devices, it is that of the local rank in distributed runs; worker processes take turns.
    """
    chosen = os.environ.get(CHOSEN, "auto")
    if chosen not in ("auto", "cuda"):
        return torch.device(chosen)
    if torch.cuda.is_available():
        rank = int(os.environ.get("LOCAL_RANK", os.environ.get(RANK, 0)))
        return torch.device("cuda", rank % torch.cuda.device_count())
    return torch.device("cpu")


def _check(device: str) -> None:
    match = re.fullmatch(r"cpu|mps|cuda(?::([0-9]{1,3}))?", device)
    if not match:
        raise UsageError(f"--device is auto, cpu, mps, cuda or cuda:NUMBER, not '{device}'")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no such device")
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(match[1] or 0) >= count:
            raise UsageError(f"--device {device}: this machine has {count or 'no'} CUDA device{'s' * (count != 1)}")
