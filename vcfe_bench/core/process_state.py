"""The state of the process that a method could leave changed for whoever comes after it."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, lambda device: torch.set_default_device(None)),
    "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "precision of matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "floating-point errors of numpy": (np.geterr, lambda errors: np.seterr(**errors)),
    "recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "working directory": (os.getcwd, os.chdir),
}
"""How each setting is read and set, by the name that records mention."""


def settings() -> dict[str, Any]:
    """The values of all ``SETTINGS``, and of the environment variables."""
    return {**{name: read() for name, (read, _) in SETTINGS.items()}, "environment variables": dict(os.environ)}


def restore(before: Mapping[str, Any]) -> list[str]:
    """Bring the settings back to what they were; the names of those that had changed.

    Environment variables that were added stay: libraries set some when they are imported.
    """
    changed = []
    for name, (read, write) in SETTINGS.items():
        if _differs(read, before[name]):
            changed.append(name)
            write(before[name])
    variables: Mapping[str, str] = before["environment variables"]
    lost = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    if lost:
        changed.append("environment variables")
        os.environ.update(lost)
    return changed


def _differs(read: Callable[[], Any], value: Any) -> bool:
    try:
        return bool(read() != value)
    except OSError:  # the working directory was deleted
        return True


@contextmanager
def random_state() -> Iterator[None]:
    """Leave the global random generators of torch, numpy and Python after the block as they were before it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
