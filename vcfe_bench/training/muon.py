"""Muon for the weight matrices of a network and AdamW for everything else."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vcfe_bench.core.errors import UsageError


def require_muon() -> None:
    """Raise a ``UsageError`` where this version of torch lacks Muon."""
    if not hasattr(torch.optim, "Muon"):
        raise UsageError(
            f"training a small Wan needs torch 2.9 or newer, for its Muon optimiser; this is {torch.__version__}"
        )


def optimizers(
    parameters: Collection[nn.Parameter], matrices: Collection[nn.Parameter], lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for ``matrices``, which are some of ``parameters``, and AdamW for the others, with one learning rate."""
    by_muon = {id(p) for p in matrices}
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([p for p in parameters if id(p) not in by_muon], lr=lr, betas=(0.9, 0.99), weight_decay=0.01),
    ]


class _Kernel(nn.Module):
    """A convolution kernel ``[O, I, ...]`` as a matrix ``[O, I · ...]``."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, matrix: Tensor) -> Tensor:
        return matrix.view(self.shape)

    def right_inverse(self, kernel: Tensor) -> Tensor:
        return kernel.reshape(len(kernel), -1)


def as_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Store the kernels of all convolutions with several output channels as matrices, which are returned."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Conv3d) and m.out_channels > 1]
    for convolution in convolutions:
        parametrize.register_parametrization(convolution, "weight", _Kernel(convolution.weight.shape))
    return [p for name, p in module.named_parameters() if name.endswith("parametrizations.weight.original")]


def as_kernels(module: nn.Module) -> None:
    """Undo ``as_matrices``."""
    for part in list(module.modules()):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
