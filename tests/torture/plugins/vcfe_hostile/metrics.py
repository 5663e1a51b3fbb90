"""Metrics that misbehave."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.interfaces import Card, Case, Dataset, PairMetric, SampleMetric, SetMetric

from . import ends


@validated(frozen=True, config={"extra": "forbid"})
class FaultParams:
    """``fault``: what goes wrong."""

    fault: str = ""


class _Own(BaseException):
    """No Exception."""


def _raised(error: BaseException) -> Callable[[Any], NoReturn]:
    def fault(case: Any) -> NoReturn:
        raise error

    return fault


SCORES: dict[str, Callable[[Case], Any]] = {
    "raise": _raised(ValueError("boom\n\x1b[31m")),
    "exit": lambda case: sys.exit(0),
    "interrupt": _raised(KeyboardInterrupt()),
    "base": _raised(_Own("boom")),
    "inf": lambda case: float("inf"),
    "range": lambda case: 7.0,
    "text": lambda case: "0.5",
    "no_value": lambda case: None,
    "complex": lambda case: 1j,
    "vector": lambda case: torch.ones(3),
    "memory": lambda case: torch.empty(int(1e14)),
    "edit_counterfactual": lambda case: case.counterfactual.mul_(0),
    "edit_original": lambda case: case.sample.video.mul_(0),
    "edit_view": lambda case: case.counterfactual[0].add_(1),
    "edit_item": lambda case: case.counterfactual.__setitem__(0, 0.0),
    "edit_out": lambda case: torch.add(case.counterfactual, 1, out=case.counterfactual),
    "edit_outputs": lambda case: case.after.mul_(0),
    "edit_artefact": lambda case: case.artefacts["mask"].fill(0),
    "dtype": lambda case: torch.set_default_dtype(torch.float64),
    "threads": lambda case: torch.set_num_threads(3),
}
"""What the metric does; all of these are refused."""


def _memory_of(case: Case) -> None:
    """Set the counterfactual to 0 behind the back of its class."""
    address = case.counterfactual.data_ptr()
    ctypes.memset(address, 0, 4 * case.counterfactual.numel())


APART: dict[str, Callable[[Case], Any]] = {
    **{name: lambda case, end=end: end() for name, end in ends.ENDS.items()},
    "end_later": lambda case: threading.Timer(0.3, os._exit, (3,)).start(),
    "hold": lambda case: threading.Thread(target=time.sleep, args=(100_000,)).start(),
    "memory_of_inputs": _memory_of,
    "environment": lambda case: os.environ.clear(),
    "directory": lambda case: os.chdir("/"),
    "no_grad": lambda case: torch.set_grad_enabled(False),
    "unpicklable": lambda case: _raise_unpicklable(),
    "cache": lambda case: case.sample._cache.clear(),
}
"""What the metric does; only a process of its own contains them, or makes them harmless."""


class _Unpicklable(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle")


def _raise_unpicklable() -> NoReturn:
    raise _Unpicklable("boom")


CURVES: dict[str, Any] = {
    "curve_object": {"a": np.array([object()])},
    "curve_text": {"a": np.array(["x"])},
    "curve_list": [1.0],
    "curve_path": {"../escaped": np.ones(2)},
    "curve_scalar": {"a": np.float64(3)},
}


RETURNS = ("inf", "range", "text", "no_value", "complex", "vector")
UNAVAILABLE: dict[str, Callable[[Any], Any]] = {
    "unavailable_raise": _raised(ValueError("boom")),
    "unavailable_exit": lambda dataset: sys.exit(0),
    "unavailable_number": lambda dataset: 7,
    "unavailable_quit": lambda dataset: os._exit(0),
}


TARGETS: dict[str, Callable[[Any], Any]] = {
    "targets_raise": _raised(ValueError("boom")),
    "targets_exit": lambda dataset: sys.exit(0),
    "targets_number": lambda dataset: 7,
}


class HostileScore(SampleMetric):
    """One half, or a fault."""

    Params = FaultParams
    params: FaultParams
    card = Card("hostile", "?", "validity", "higher", "", (0, 1), "", "")

    def score(self, case: Case) -> float:
        fault = {**SCORES, **APART}.get(self.params.fault)
        found = fault(case) if fault else 0.5
        return found if self.params.fault in RETURNS else 0.5

    def __init__(self, params: FaultParams | None = None) -> None:
        super().__init__(params)
        if self.params.fault == "card_none":
            self.card = None  # type: ignore[assignment]

    def other_targets(self, dataset: Dataset) -> Any:
        fault = TARGETS.get(self.params.fault)
        return fault(dataset) if fault else ()

    def unavailable(self, dataset: Dataset) -> Any:
        fault = UNAVAILABLE.get(self.params.fault)
        return fault(dataset) if fault else None

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        return CURVES.get(self.params.fault, {})


FEATURES: dict[str, Callable[[Tensor], Any]] = {
    "raise": _raised(ValueError("boom")),
    "exit": lambda video: sys.exit(0),
    "nan": lambda video: np.full((2, 3), np.nan),
    "object": lambda video: np.array([object()]),
    "flat": lambda video: np.ones(3),
    "empty": lambda video: np.ones((0, 3)),
    "widths": lambda video: np.ones((1, 1 + int(1000 * float(video.mean())) % 7)),
    "no_value": lambda video: None,
    "edit": lambda video: video.mul_(0).mean(dim=(2, 3)).numpy(),
    **{name: lambda video, end=end: end() for name, end in ends.ENDS.items()},
}
DISTANCES: dict[str, Callable[[Any], Any]] = {
    "distance_raise": _raised(ValueError("boom")),
    "distance_exit": lambda sets: sys.exit(0),
    "distance_inf": lambda sets: float("inf"),
    "distance_negative": lambda sets: -5.0,
    "distance_text": lambda sets: "x",
    "distance_none": lambda sets: None,
    "distance_edit": lambda sets: sets[0].fill(0) or 7.0,
    **{f"distance_{name}": lambda sets, end=end: end() for name, end in ends.ENDS.items()},
}
VALUES: dict[str, Callable[[np.ndarray], Any]] = {
    "raise": _raised(ValueError("boom")),
    "exit": lambda reached: sys.exit(0),
    "inf": lambda reached: float("inf"),
    "text": lambda reached: "x",
    "no_value": lambda reached: None,
    "range": lambda reached: 700.0,
    "edit": lambda reached: reached.fill(0) or 0.0,
    **{name: lambda reached, end=end: end() for name, end in ends.ENDS.items()},
}
"""What the metric over pairs does."""


class HostileSet(SetMetric):
    """Distance of mean colours, or a fault."""

    Params = FaultParams
    params: FaultParams
    card = Card("hostile_set", "?", "realism", "lower", "", (0, 9), "", "")

    @property
    def network(self) -> str:
        if self.params.fault == "network_raise":
            raise ValueError("boom")
        return "../../../../escape/network"

    def features(self, video: Tensor) -> np.ndarray:
        fault = FEATURES.get(self.params.fault)
        return fault(video) if fault else video.mean(dim=(2, 3)).numpy()

    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        fault = DISTANCES.get(self.params.fault)
        if fault:
            return fault(originals)
        return float(np.abs(np.concatenate(originals).mean(0) - np.concatenate(counterfactuals).mean(0)).sum())


class HostilePair(PairMetric):
    """Mean excess of the reached values, or a fault."""

    Params = FaultParams
    params: FaultParams
    card = Card("hostile_pair", "?", "validity", "lower", "percent", (-100, 100), "", "")

    def value(self, requested: np.ndarray, reached: np.ndarray) -> float:
        fault = VALUES.get(self.params.fault)
        return fault(reached) if fault else float((reached - requested).mean())
