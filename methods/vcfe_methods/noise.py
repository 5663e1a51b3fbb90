"""Gaussian noise of the queries of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vcfe_bench.interfaces import Query


def draw(queries: Sequence[Query], shape: Sequence[int]) -> Tensor:
    """Gaussian noise ``[B, *shape]``, each row from the random generator of its query."""
    return torch.stack([torch.randn(*shape, generator=query.generator("noise")) for query in queries])
