"""Sample metrics, a set metric, a pair metric, and a metric whose weights are missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.interfaces import Card, Case, Dataset, PairMetric, SampleMetric, SetMetric


@validated(frozen=True, config={"extra": "forbid"})
class NetworksParams:
    """Specs of other targets."""

    targets: tuple[str, ...] = ()


class Flip(SampleMetric):
    """Whether the target predicts the goal."""

    card = Card("toy_FR", "Flipped?", "validity", "higher", "rate", (0, 1), "", "", unanswered=0.0)

    def score(self, case: Case) -> float:
        return float(case.goal.met(case.after[None])[0])


class Change(SampleMetric):
    """Mean absolute difference; breaks down on ``light-2``."""

    card = Card("change", "How much?", "proximity", "lower", "", (0, 1), "", "")

    def score(self, case: Case) -> float:
        if case.sample.id == "light-2":
            raise ValueError("too dark")
        return float((case.sample.video - case.counterfactual).abs().mean())


class Networks(SampleMetric):
    """The number of available networks (target, generator and other targets), with ``before`` as a curve."""

    Params = NetworksParams
    params: NetworksParams
    card = Card("networks", "How many?", "validity", None, "", (0, 9), "", "")
    needs_target = needs_generator = True

    def other_targets(self, dataset: Dataset) -> tuple[str, ...]:
        return self.params.targets

    def score(self, case: Case) -> float:
        return float((case.target is not None) + (case.generator is not None) + len(case.others))

    def curves(self, case: Case) -> dict[str, np.ndarray]:
        return {"before": case.before.numpy()}


class Spread(SetMetric):
    """Distance between mean colours."""

    card = Card("spread(mean)", "How far?", "realism", "lower", "", (0, 9), "", "", min_samples=50)
    network = "mean/colour"

    def features(self, video: Tensor) -> np.ndarray:
        return video.mean(dim=(2, 3)).numpy()

    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        return float(np.abs(np.concatenate(originals).mean(0) - np.concatenate(counterfactuals).mean(0)).sum())


class Missing(SampleMetric):
    """Has no weights."""

    card = Card("missing(net)", "Never", "realism", "lower", "", (0, 1), "", "")

    def unavailable(self, dataset: Dataset) -> str | None:
        return "net.safetensors is missing"

    def score(self, case: Case) -> float:
        raise AssertionError("is never called")


class Bias(PairMetric):
    """Mean excess of the reached values."""

    card = Card("toy_bias", "Too much?", "validity", "lower", "percent", (-100, 100), "", "")

    def unavailable(self, dataset: Dataset) -> str | None:
        return None if dataset.values else "no values here"

    def value(self, requested: np.ndarray, reached: np.ndarray) -> float:
        return float((reached - requested).mean())


class Masked(SampleMetric):
    """Share of the frame under the method's mask; NaN without one."""

    card = Card("masked", "How much may change?", "actionability", None, "", (0, 1), "", "")

    def score(self, case: Case) -> float:
        return float(case.artefacts["mask"].mean()) if "mask" in case.artefacts else float("nan")
