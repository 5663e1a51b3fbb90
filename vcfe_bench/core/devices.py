"""Where networks are computed."""

from __future__ import annotations

import os

import torch


def default() -> torch.device:
    """CUDA where there is one (a process of several takes its own), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")
