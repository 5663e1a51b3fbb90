"""What a target returns for a video."""

from __future__ import annotations

import torch
from torch import Tensor

from vcfe_bench.core.errors import describe
from vcfe_bench.plugins.contract.errors import ContractError, type_name
from vcfe_bench.plugins.target import Target


def checked_output(target: Target, video: Tensor, width: int | None = None) -> tuple[float, ...]:
    """The raw output ``[K]`` of a target for a video ``[T, 3, H, W]`` in [0, 1], without gradients.

    Args:
        target: the target.
        video: the video.
        width: the K of other videos, if it is known.

    Raises:
        ContractError: the target fails, or returns anything but one row of K finite numbers.
    """
    try:
        with torch.no_grad():
            output = target(video[None])
    except (Exception, SystemExit) as error:
        raise ContractError(f"the target fails: {describe(error)}") from error
    row = checked_row(output, width)
    if not row.isfinite().all():
        raise ContractError("the target returns NaN or infinite outputs")
    return tuple(row[0].tolist())


def checked_row(output: object, width: int | None = None) -> Tensor:
    """What a target returned for one video, as a floating-point tensor ``[1, K]``; ``width`` is the K of other videos.

    Raises:
        ContractError: it has another form.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        found = output.dtype if isinstance(output, Tensor) else type_name(output)
        raise ContractError(f"the target returns {found}, not a floating-point tensor")
    if output.ndim != 2 or len(output) != 1 or not output.shape[1]:
        raise ContractError(f"the target returns the shape {tuple(output.shape)} for one video, not (1, K)")
    if width is not None and output.shape[1] != width:
        raise ContractError(f"the target returns {output.shape[1]} outputs, and {width} for other videos")
    return output
