"""Tensors that cannot be changed in place, so that what one metric does to a video never reaches the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SETTERS = {f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")}
_SETTERS |= {"__setitem__", "__ilshift__", "__irshift__"}
_HARMLESS = ("requires_grad_", "retain_grad", "rename_")
"""Methods whose names end like those of operations in place, and that leave the values alone."""


class ReadOnly(Tensor):
    """A tensor whose values cannot be changed, nor can those of its views; what is computed from it is an ordinary one.

    Arrays that are made of it are copies.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.clone()

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(changed, ReadOnly) for changed in _changed(func, args, kwargs)):
            raise TypeError("videos and outputs cannot be changed in place: work on a copy, clone()")
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        return _protected(result, [*_tensors(args), *_tensors(kwargs.values())])


def read_only(tensor: Tensor) -> Tensor:
    """A view of a tensor that cannot be used to change it."""
    return tensor.as_subclass(ReadOnly)


def _changed(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments that a function changes."""
    name = getattr(func, "__name__", "")
    out = kwargs.get("out")
    changed = list(out) if isinstance(out, (tuple, list)) else [out]
    in_place = name.endswith("_") and not name.endswith("__") and name not in _HARMLESS
    if args and (in_place or name in _SETTERS or kwargs.get("inplace")):
        changed.append(args[0])
    return changed


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """Read-only tensors among the values and in their sequences."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, ReadOnly):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += _tensors(value)
    return found


def _protected(result: Any, sources: Sequence[Tensor]) -> Any:
    """The result of a function, in which what shares memory with read-only tensors is read-only as well."""
    if isinstance(result, np.ndarray):
        return result.copy()
    if isinstance(result, Tensor):
        return read_only(result) if _shares(result, sources) else result
    if type(result) in (tuple, list):
        return type(result)(_protected(item, sources) for item in result)
    return result


def _shares(tensor: Tensor, sources: Sequence[Tensor]) -> bool:
    with torch._C.DisableTorchFunctionSubclass():
        if tensor.layout is not torch.strided or not tensor.numel():
            return False
        start = tensor.untyped_storage().data_ptr()
        return any(source.untyped_storage().data_ptr() == start for source in sources)
