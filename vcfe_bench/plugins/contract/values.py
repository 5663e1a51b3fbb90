"""What a metric returns: values, curves and features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

import numpy as np
from torch import Tensor

from vcfe_bench.plugins.contract.arrays import checked_array, checked_name
from vcfe_bench.plugins.contract.errors import ContractError, type_name
from vcfe_bench.plugins.metric import Card


def checked_value(value: object, card: Card) -> float:
    """The value of a metric, moved into the range on its card if only rounding took it outside; NaN if undefined.

    Raises:
        ContractError: it is no single number, infinite, or outside the range by more than rounding.
    """
    number = _number(value)
    if math.isinf(number):
        raise ContractError(f"{number} is no value; a metric that is undefined returns NaN")
    low, high = card.range
    inside = float(np.clip(number, low, high))
    if not np.isclose(number, inside, atol=1e-6, equal_nan=True):
        raise ContractError(f"{number:g} is outside the range on the card, {low:g} to {high:g}")
    return inside


def _number(value: object) -> float:
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real):
        raise ContractError(f"returned {type_name(value)}, not a number")
    return float(value)


def checked_curves(curves: object) -> dict[str, np.ndarray]:
    """The curves behind a value: arrays of real numbers by name.

    Raises:
        ContractError: they are anything else.
    """
    if not isinstance(curves, Mapping):
        raise ContractError(f"returned {type_name(curves)} as curves, not a mapping of names to arrays")
    arrays = {checked_name(name, "curve"): checked_array(curve, f"curve '{name}'") for name, curve in curves.items()}
    for name, array in arrays.items():
        if not array.ndim or array.dtype.kind not in "biuf":
            raise ContractError(f"curve '{name}' is no series of numbers")
    return arrays


def checked_features(features: object) -> np.ndarray:
    """Features ``[n, D]`` of one video, n and D ≥ 1.

    Raises:
        ContractError: they are anything but finite real numbers of that shape.
    """
    array = checked_array(features, "the array of features")
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise ContractError(f"returned features of shape {array.shape} and type {array.dtype}, not numbers [n, D]")
    if not np.isfinite(array).all():
        raise ContractError("returned features with NaN or infinite values")
    return array
