"""What a run stores about each task and about each metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, Literal

from pydantic import TypeAdapter

from vcfe_bench.plugins.terms import Criterion

Status = Literal["ok", "failed", "skipped"]
Level = Literal["sample", "set", "pair"]
OVER = "over the budget"
"""How the reason of a task begins for which the method spent more than its budget."""


@dataclass(frozen=True)
class Record:
    """The result of one task: one line of the journal and one row of ``records.parquet``.

    Attributes:
        id: the task's identity.
        method: canonical spec of the method.
        sample: the sample's id within its dataset, ``index`` its place in the split.
        label: of the original; a whole number where labels are classes, as is ``prediction``.
        goal: the goal as text.
        status: ``ok``, ``failed``, or ``skipped`` where the method does not support the combination.
        reason: one line, empty when ok.
        met: whether the target's prediction for the stored counterfactual meets the goal; None unless ok.
        before: the target's raw output ``[K]`` for the original, ``after`` for the stored counterfactual.
        original: name of the original under ``videos/``, ``video`` that of the counterfactual.
        video_sha256: content hash of the counterfactual's pixels.
        seconds: the micro-batch's time divided by the number of its real queries.
        padded: how many slots of the micro-batch were filled with repetitions.
        peak_memory_mb: greatest resident memory of the process during the micro-batch, sampled, in MB (10⁶ bytes).
        calls: cost of the network calls made for the task, see ``plugins.calls``; NaN in records that did not count.
        forwards: numbers of forward passes by network, ``backwards`` those of backward passes.
        traceback: of the error, where there was one.
        side_effects: what the method left changed besides its results, and was put back: "default dtype, grad mode".
        files: the folders with arrays that were stored with the counterfactual: ``traces``, ``artefacts``.
    """

    id: str
    method: str
    sample: str
    index: int
    label: int | float
    prediction: int | float
    goal: str
    status: Status
    reason: str = ""
    met: bool | None = None
    before: tuple[float, ...] = ()
    after: tuple[float, ...] | None = None
    original: str = ""
    video: str | None = None
    video_sha256: str | None = None
    seconds: float = float("nan")
    padded: int = 0
    peak_memory_mb: float = float("nan")
    calls: float = float("nan")
    forwards: Mapping[str, int] = field(default_factory=dict)
    backwards: Mapping[str, int] = field(default_factory=dict)
    traceback: str = ""
    side_effects: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredCard:
    """What is known of a metric after scoring: its card, and why it has no values where it has none.

    Attributes:
        name: column name in tables; the spec where the metric cannot be built.
        spec: canonical spec of the metric.
        level: whether values are of single counterfactuals, of sets, or of pairs of requested and reached values; None
            where the metric cannot be built.
        network: name of the feature network of a set metric.
        unavailable: why the metric could not be computed at all, or None.
        problems: on how many records it failed and how, or None.

    The other fields are those of ``plugins.metric.Card``.
    """

    name: str
    spec: str
    level: Level | None = None
    question: str = ""
    criterion: Criterion | None = None
    direction: Literal["higher", "lower"] | None = None
    unit: str = ""
    source: str = ""
    version: int | None = None
    range: tuple[float, float] = (-inf, inf)
    min_samples: int = 1
    unanswered: float | None = None
    selected: bool = False
    unbiased: bool = False
    network: str | None = None
    unavailable: str | None = None
    problems: str | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> ScoredCard:
        """The card that ``write`` wrote; fields that later versions added are those of the metric of that name."""
        later = {
            "unanswered": 0.0 if content["name"] in _OF_ALL_ASKED else None,
            "selected": content["name"] in _OF_FLIPS,
        }
        return _CARD.validate_python({**later, **content})

    def write(self) -> dict[str, Any]:
        """The card as JSON."""
        return asdict(self)


_OF_ALL_ASKED = ("FR", "semantic_FR", "valid_share", "minimal_FR", "minimal_FR(motion)")
_OF_FLIPS = (
    *("survives_blur", "survives_H264", "survives_shift", "survives_reconstruction"),
    *("transfer_FR", "faithful", "flip_lost_shuffled", "MNAC"),
)
"""Metrics whose cards in old runs do not say so."""
_CARD: TypeAdapter[ScoredCard] = TypeAdapter(ScoredCard)
