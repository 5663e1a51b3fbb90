"""What a method returns for a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.plugins.contract.arrays import checked_array, checked_name
from vcfe_bench.plugins.contract.errors import ContractError, type_name
from vcfe_bench.plugins.method import Explanation

SCALE = 255.0
"""Largest value of a video on the scale of 8-bit pixels."""
BEYOND = 8.0
"""Mean from which a video without negative values is on that scale: values far outside [0, 1] are otherwise clamped."""


def checked_explanations(returned: object, count: int) -> list[object]:
    """What ``Method.run`` returned, as a list of ``count`` items.

    Raises:
        ContractError: it is no sequence of that length.
    """
    if isinstance(returned, (Tensor, Explanation)) or not hasattr(returned, "__iter__"):
        raise ContractError(f"returned {type_name(returned)}, not a list of explanations")
    items = list(returned)
    if len(items) != count:
        raise ContractError(f"returned {len(items)} explanations for {count} queries")
    return items


def checked_explanation(explanation: object, original: Tensor) -> Explanation:
    """An explanation whose video is a detached tensor in main memory, and whose traces and artefacts are arrays.

    Raises:
        ContractError: it breaks the contract of ``plugins.method.Explanation`` for an ``original`` ``[T, 3, H, W]``.
    """
    if not isinstance(explanation, Explanation):
        raise ContractError(f"returned {type_name(explanation)}, not an Explanation")
    video = _video(explanation.video, tuple(original.shape))
    return Explanation(video, _trace(explanation.trace), _artefacts(explanation.artefacts))


def _video(video: object, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(video, Tensor):
        raise ContractError(f"returned {type_name(video)} as a video, not a tensor")
    if not video.is_floating_point() or video.layout is not torch.strided or video.device.type == "meta":
        kind = f"{video.dtype} tensor ({video.layout} on {video.device})"
        raise ContractError(f"returned a {kind} as a video, not a dense floating-point one")
    if tuple(video.shape) != shape:
        raise ContractError(f"returned a video of shape {tuple(video.shape)}, expected {shape}")
    video = video.detach()
    if not video.isfinite().all():
        raise ContractError("returned a video with NaN or infinite values")
    low, high, mean = (float(value) for value in (video.min(), video.max(), video.double().mean()))
    if low >= 0 and mean > BEYOND and high <= SCALE:
        raise ContractError(f"returned a video with values from {low:.3g} to {high:.3g}: divide it by 255")
    return video


def _trace(trace: object) -> Mapping[str, Sequence[float]]:
    series = _arrays(trace, "trace")
    for name, values in series.items():
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise ContractError(f"trace '{name}' is no series of numbers")
    if len({len(values) for values in series.values()}) > 1:
        lengths = ", ".join(f"'{name}' {len(values)}" for name, values in series.items())
        raise ContractError(f"traces differ in length: {lengths}")
    return series  # type: ignore[return-value]


def _artefacts(artefacts: object) -> Mapping[str, np.ndarray]:
    return _arrays(artefacts, "artefact")


def _arrays(values: object, kind: str) -> dict[str, np.ndarray]:
    if not isinstance(values, Mapping):
        raise ContractError(f"returned {type_name(values)} as {kind}s, not a mapping of names to arrays")
    return {checked_name(name, kind): checked_array(value, f"{kind} '{name}'") for name, value in values.items()}
