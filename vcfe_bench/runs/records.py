"""From the journal of a run to its table of records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from vcfe_bench.plugins.metric import Criterion
from vcfe_bench.runs.run_directory import RECORDS, RunDirectory

Status = Literal["ok", "failed", "skipped"]
Level = Literal["sample", "set", "pair"]


@dataclass(frozen=True)
class Record:
    """What came of one task: one line of the journal and one row of ``records.parquet``.

    Attributes:
        id: the task's identity.
        method: canonical spec of the method.
        sample: the sample's id within its dataset, ``index`` its place in the split.
        label: of the original; a whole number where labels are classes, as is ``prediction``.
        goal: the goal as text.
        status: ``ok``, ``failed``, or ``skipped`` where the method does not support the combination.
        reason: one line, empty when ok; ``traceback`` is the whole of it where there is one.
        before: the target's raw output ``[K]`` for the original, ``after`` for the stored counterfactual.
        met: whether the stored video meets the goal, by the target; None unless ok.
        original: name of the original under ``videos/``, ``video`` that of the counterfactual.
        video_sha256: content hash of the counterfactual's pixels.
        seconds: the micro-batch's time divided by the number of its real queries.
        padded: how many slots of the micro-batch were filled with repetitions.
        peak_memory_mb: greatest resident memory of the process during the micro-batch, in MB (10⁶ bytes).
        evaluations: network calls by network.
    """

    id: str
    method: str
    sample: str
    index: int
    label: int | float
    prediction: int | float
    goal: str
    status: Status
    reason: str
    traceback: str
    before: tuple[float, ...]
    after: tuple[float, ...] | None
    met: bool | None
    original: str
    video: str | None
    video_sha256: str | None
    seconds: float
    padded: int
    peak_memory_mb: float
    evaluations: Mapping[str, int] = field(default_factory=dict)


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
    min_samples: int = 1
    network: str | None = None
    unavailable: str | None = None
    problems: str | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> ScoredCard:
        """The card that ``write`` wrote; fields that later versions added are left at their defaults."""
        return _CARD.validate_python(dict(content))

    def write(self) -> dict[str, Any]:
        """The card as JSON."""
        return asdict(self)


_CARD: TypeAdapter[ScoredCard] = TypeAdapter(ScoredCard)

FIXED = {
    "id": "string",
    "method": "string",
    "sample": "string",
    "index": "int64",
    "label": "float64",
    "prediction": "float64",
    "goal": "string",
    "status": "string",
    "reason": "string",
    "met": "boolean",
    "before": "object",
    "after": "object",
    "original": "string",
    "video": "string",
    "video_sha256": "string",
    "seconds": "float64",
    "padded": "int64",
    "peak_memory_mb": "float64",
}
"""Columns of every record and their types. ``label`` and ``prediction`` are whole numbers where they are classes.
``before`` and ``after`` are the target's raw outputs; ``original`` and ``video`` are names under ``videos/``; ``met``
is whether the stored video meets the goal, by the target. After these come ``evaluations_<network>`` and one column per
sample metric, empty where it could not be computed."""


def table(store: RunDirectory) -> pd.DataFrame:
    """One row per finished task of the run's plan, in the plan's order, with all scores so far."""
    done, scores = store.tasks(), all_scores(store)
    plans = store.lines("plan")
    order = plans[-1]["tasks"] if plans else list(done)
    tasks = [done[id] for id in order if id in done]
    networks = sorted({network for task in tasks for network in task["evaluations"]})
    metrics = [card["name"] for card in cards(store) if card["level"] == "sample"]
    rows = [
        [task[name] for name in FIXED]
        + [task["evaluations"].get(network) for network in networks]
        + [scores.get(task["id"], {}).get(name) for name in metrics]
        for task in tasks
    ]
    numbers = [*(f"evaluations_{network}" for network in networks), *metrics]
    frame = pd.DataFrame(rows, columns=[*FIXED, *numbers])
    types = FIXED | dict.fromkeys(numbers, "float64")
    for name in ("label", "prediction"):
        if all(isinstance(task[name], int) for task in tasks):
            types[name] = "int64"
    return frame.astype(types)


def cards(store: RunDirectory) -> list[dict[str, Any]]:
    """What is known about the metrics of the last scoring, computable or not."""
    scored = store.lines("scored")
    return scored[-1]["cards"] if scored else []


def all_scores(store: RunDirectory) -> dict[str, dict[str, float]]:
    """Latest value of each sample metric by record id and metric name."""
    scores: dict[str, dict[str, float]] = {}
    for line in store.lines("score"):
        scores.setdefault(line["id"], {}).update(line["values"])
    return scores


def write(store: RunDirectory) -> pd.DataFrame:
    """Bring ``records.parquet`` up to the journal."""
    frame = table(store)
    store.put_table(RECORDS, frame)
    return frame


SET_COLUMNS = ["method", "metric", "version", "n", "value", "low", "high", "floor", "floor_n", "reason"]


def sets_table(store: RunDirectory) -> pd.DataFrame:
    """One row per method and metric of a set or of pairs, the latest value of each."""
    latest = {(line["method"], line["metric"]): line for line in store.lines("set")}
    return pd.DataFrame(list(latest.values()), columns=SET_COLUMNS)
