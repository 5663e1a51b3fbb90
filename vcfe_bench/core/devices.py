"""The device that networks run on."""

from __future__ import annotations

import os

import torch


def default() -> torch.device:
    """The CUDA device if one is available (that of the local rank in distributed runs), otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")
