"""The GPUs that an estimate is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GPU:
    """``memory`` in GB (10⁹ bytes); peaks in TFLOP/s without sparsity: ``half`` of 16-bit types, ``single`` of TF32."""

    memory: float
    half: float
    single: float


GPUS: Mapping[str, GPU] = {
    "a100-40gb": GPU(42.9, 312, 156),
    "a100-80gb": GPU(85.9, 312, 156),
    "h100-80gb": GPU(85.9, 989, 494),
    "h200-141gb": GPU(151.4, 989, 494),
    "l40s-48gb": GPU(51.5, 362, 183),
    "rtx4090-24gb": GPU(25.8, 165, 83),
}
"""NVIDIA's data sheets of the SXM parts and of the named cards."""
