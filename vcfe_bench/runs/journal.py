"""The kinds of lines in the journal of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.records import Record, ScoredCard


@dataclass(frozen=True)
class Original:
    """One video of the split and the target's prediction for it; ``output`` is the raw output ``[K]``."""

    index: int
    sample: str
    label: int | float
    fps: float
    sha256: str
    output: tuple[float, ...]

    @property
    def prediction(self) -> int | float:
        """The most probable class, or the value of a target with one output."""
        return self.output[0] if len(self.output) == 1 else max(range(len(self.output)), key=self.output.__getitem__)

    @property
    def video(self) -> str:
        """Name of the stored video."""
        return f"original-{self.sha256[:16]}"


@dataclass(frozen=True)
class Configured:
    """The configuration from here on; entered when that of the directory changes, after the one before."""

    configuration: Configuration


@dataclass(frozen=True)
class Planned:
    """The ids of all tasks in the order of the table, and the indices of the reference (real) videos.

    In the directory of a shard, ``tasks`` are those of the shard, ``whole`` are those of all shards, and ``shard`` is
    its number, from 1, and their count.
    """

    tasks: tuple[str, ...]
    others: tuple[int, ...] = ()
    shard: tuple[int, int] | None = None
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Session:
    """The environment in which tasks were computed; see ``core.environment``."""

    versions: Mapping[str, str | None] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None


@dataclass(frozen=True)
class Reused:
    """Ids of tasks whose results were taken from the cache of reference methods, in the session before."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """Values of sample metrics for the record ``id``, with the version of each metric and the errors of those that
    failed (their value is NaN). ``curves`` tells whether curves behind the values were stored."""

    id: str
    values: Mapping[str, float]
    versions: Mapping[str, int]
    errors: Mapping[str, str] = field(default_factory=dict)
    curves: bool = False


@dataclass(frozen=True)
class SetRow:
    """The value of a metric over a set of videos for one method: one row of ``sets.parquet``.

    Attributes:
        n: number of counterfactuals; ``low`` and ``high`` bound the 95 % interval.
        floor: the distance between real videos and other real videos, over ``floor_n`` of each; its mean over random
            halves, or 0 for an unbiased distance. ``floor_sd`` is the standard deviation of a single such distance.
        reason: why there is no value, else empty.
    """

    method: str
    metric: str
    version: int
    n: int
    value: float
    low: float
    high: float
    floor: float = float("nan")
    floor_n: int = 0
    reason: str = ""
    floor_sd: float = float("nan")


@dataclass(frozen=True)
class RealVideos:
    """Content hashes of the reference (real) videos whose features the run keeps."""

    sha256: tuple[str, ...]


@dataclass(frozen=True)
class DatasetNotes:
    """What the dataset says about the videos of the split, see ``plugins.dataset.Dataset.notes``."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """A scoring is complete.

    Attributes:
        cards: of all metrics so far, computed or not.
        requested: specs of those that this scoring was about; None in old journals, for all.
    """

    cards: tuple[ScoredCard, ...]
    requested: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Repaired:
    """Lines that are damaged or lost, and whose content is made again from here on: the first number of each range and
    the one after its last."""

    lines: tuple[tuple[int, int], ...]


Entry = (
    Configured
    | Reused
    | Original
    | Planned
    | Session
    | Record
    | Scores
    | SetRow
    | RealVideos
    | DatasetNotes
    | Scored
    | Repaired
)
KINDS: Mapping[str, type[Entry]] = {
    "configuration": Configured,
    "original": Original,
    "plan": Planned,
    "session": Session,
    "reused": Reused,
    "task": Record,
    "score": Scores,
    "set": SetRow,
    "others": RealVideos,
    "dataset": DatasetNotes,
    "scored": Scored,
    "repaired": Repaired,
}
"""Types of entries by the ``kind`` in their line."""
NAMES = {cls: kind for kind, cls in KINDS.items()}
"""The ``kind`` of each type of entry."""
_ADAPTERS: Mapping[str, TypeAdapter[Entry]] = {kind: TypeAdapter(cls) for kind, cls in KINDS.items()}


def parse(content: Mapping[str, Any]) -> Entry | None:
    """The entry of a line; None for a kind that is not known.

    Raises:
        ValueError: it lacks a field.
    """
    kind = content["kind"]
    return _ADAPTERS[kind].validate_python(content) if kind in KINDS else None


def content_of(entry: Entry) -> dict[str, Any]:
    """What the line of an entry holds."""
    return {"kind": NAMES[type(entry)], **asdict(entry)}
