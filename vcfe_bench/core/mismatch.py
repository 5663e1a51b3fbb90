"""How a state dictionary differs from that of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vcfe_bench.core.text import some


@dataclass(frozen=True)
class Mismatch:
    """The differences between the names and shapes of a state dictionary and those of a network."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    matching: int

    @classmethod
    def between(cls, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Mismatch:
        """``num_batches_tracked`` of batch normalisation may be absent: older checkpoints lack it."""
        missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
        shared = [key for key in wanted if key in state]
        misshapen = [
            f"{key} {list(state[key].shape)} instead of {list(wanted[key].shape)}"
            for key in shared
            if state[key].shape != wanted[key].shape
        ]
        unexpected = [key for key in state if key not in wanted]
        return cls(tuple(missing), tuple(unexpected), tuple(misshapen), len(shared) - len(misshapen))

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(f"{len(keys)} {kind} ({some(keys)})" for kind, keys in kinds.items() if keys)
