"""Metrics that misbehave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.interfaces import Card, Case, SampleMetric, SetMetric


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
    "none": lambda case: None,
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
CURVES: dict[str, Any] = {
    "curve_object": {"a": np.array([object()])},
    "curve_text": {"a": np.array(["x"])},
    "curve_list": [1.0],
    "curve_path": {"../escaped": np.ones(2)},
    "curve_scalar": {"a": np.float64(3)},
}


class HostileScore(SampleMetric):
    """One half, or a fault."""

    Params = FaultParams
    params: FaultParams
    card = Card("hostile", "?", "validity", "higher", "", (0, 1), "", "")

    def score(self, case: Case) -> float:
        fault = SCORES.get(self.params.fault)
        found = fault(case) if fault else 0.5
        return 0.5 if self.params.fault.startswith(("edit", "dtype", "threads")) else found

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
    "none": lambda video: None,
    "edit": lambda video: video.mul_(0).mean(dim=(2, 3)).numpy(),
}
DISTANCES: dict[str, Callable[[Any], Any]] = {
    "distance_raise": _raised(ValueError("boom")),
    "distance_exit": lambda sets: sys.exit(0),
    "distance_inf": lambda sets: float("inf"),
    "distance_negative": lambda sets: -5.0,
    "distance_text": lambda sets: "x",
    "distance_none": lambda sets: None,
}


class HostileSet(SetMetric):
    """Distance of mean colours, or a fault."""

    Params = FaultParams
    params: FaultParams
    card = Card("hostile_set", "?", "realism", "lower", "", (0, 9), "", "")
    network = "../../../../escape/network"

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
