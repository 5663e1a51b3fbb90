"""The GPUs for which costs are estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GPU:
    """Memory in GB (10⁹ bytes), and peak TFLOP/s without sparsity: ``half`` for 16-bit types, ``single`` for TF32."""

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
"""From NVIDIA's data sheets; A100, H100 and H200 are the SXM versions."""
