"""Named arrays that plug-ins return to be stored."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vcfe_bench.core.errors import describe
from vcfe_bench.plugins.contract.errors import ContractError

LONGEST = 200
"""Characters that a name may have."""


def checked_name(name: object, kind: str) -> str:
    """A name under which an array can be stored in an archive.

    Raises:
        ContractError: it is no text, too long, or could be taken for a path.
    """
    if not isinstance(name, str) or not name or len(name) > LONGEST:
        raise ContractError(
            f"the name of a {kind} is {str(name)[:50]!r}: it has to be a text of 1 to {LONGEST} characters"
        )
    if not name.isprintable() or set(name) & set("/\\") or name.startswith("."):
        raise ContractError(f"the name of a {kind} is {name!r}: it must neither look like a path nor be unprintable")
    return name


def checked_array(value: object, what: str) -> np.ndarray:
    """A value as an array of numbers, truth values or text.

    Raises:
        ContractError: it is something else, in particular Python objects, which would have to be pickled.
    """
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ContractError(f"{what} is no array: {describe(error)}") from error
    if array.dtype.hasobject or array.dtype.kind not in "biufcSU":
        raise ContractError(f"{what} contains {array.dtype}: store numbers or text")
    return array
