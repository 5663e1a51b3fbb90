"""What a journal says so far, in a form that stays small: of each task only what a resume has to know.

Records and scores themselves stay on the disk; the state has the place of each task's latest record in the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vcfe_bench.runs.journal import (
    Configured,
    DatasetNotes,
    Entry,
    Original,
    Planned,
    RealVideos,
    Repaired,
    Scored,
    SetRow,
    parse,
)
from vcfe_bench.runs.lines import Line
from vcfe_bench.runs.records import OVER

E = TypeVar("E", bound=Entry)
LATEST = (Configured, Planned, RealVideos, DatasetNotes, Scored)
"""Kinds of which the latest entry counts."""


NONE: Mapping[str, int] = {}
"""The versions of a task without values, one object for all."""


@dataclass(slots=True)
class TaskState:
    """What is known of a task: its latest record, and which metrics it has values of.

    Attributes:
        offset: where its latest record begins in the journal.
        reason: of the latest record, empty when ok; ``index`` is the place of its video in the split.
        video: the first digits of the content hash of its counterfactual, as a number; 0 for none.
        files: the folders with arrays that it stored.
        versions: of the metrics that have a value, by name; those that raised an exception are in ``failed`` instead.
        curves: whether the values have curves behind them.
    """

    method: str
    status: str
    reason: str
    offset: int
    index: int
    video: int
    files: tuple[str, ...] = ()
    versions: Mapping[str, int] = field(default_factory=lambda: NONE)
    failed: tuple[str, ...] = ()
    curves: bool = False

    @property
    def final(self) -> bool:
        """Whether the task need not be tried again; its budget is part of its identity."""
        return self.status != "failed" or self.reason.startswith(OVER)


@dataclass
class Pace:
    """How fast tasks are finished: how many were from ``began``, the start of the latest session, to ``latest``.

    Both are in seconds since 1970, and 0 where the journal has no times."""

    began: float = 0.0
    latest: float = 0.0
    finished: int = 0

    def count(self, kind: str, time: float | None) -> None:
        """Take a line into account."""
        if kind == "session":
            self.began, self.finished = time or 0.0, 0
        self.finished += kind == "task"
        self.latest = time or self.latest


class State:
    """The state of a journal; ``apply`` brings it up to one more line."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskState] = {}
        self.originals: dict[int, Original] = {}
        self.latest: dict[type[Entry], Entry] = {}
        self.set_rows: dict[tuple[str, str], SetRow] = {}
        self.scored: dict[str, int | None] = {}
        """Versions of the metrics that were scored since results last changed, by spec."""
        self.last_kind = ""
        self.repaired: set[int] = set()
        self.old = False
        """Whether an earlier version wrote some of it."""
        self.places: dict[str, list[int]] = {}
        """Where the lines of each kind begin, other than those of tasks and scores, which are many."""
        self.pace = Pace()
        self._planned: frozenset[str] = frozenset()
        self._interned: dict[Any, Any] = {}

    def apply(self, line: Line) -> None:
        """Bring the state up to a line; kinds that are not known are ignored."""
        content, kind = line.content, line.content["kind"]
        self.old = self.old or "line" not in content
        if kind == "task":
            self._record(content, line.offset)
        elif kind == "score":
            self._scores(content)
        else:
            self.places.setdefault(kind, []).append(line.offset)
            entry = parse(content)
            if entry is None:
                return
            self._other(entry)
        self.last_kind = kind
        self.pace.count(kind, content.get("time"))

    def last(self, kind: type[E]) -> E | None:
        """The latest entry of a kind of ``LATEST``."""
        return self.latest.get(kind)  # type: ignore[return-value, arg-type]

    def _record(self, content: Mapping[str, Any], offset: int) -> None:
        id, status = content["id"], self.one(content["status"])
        sha256 = content.get("video_sha256")
        video = int(sha256[:15], 16) if sha256 else 0
        before = self.tasks.get(id)
        task = TaskState(
            method=self.one(content["method"]),
            status=status,
            reason=self.one(content.get("reason", "")),
            offset=offset,
            index=content["index"],
            video=video,
            files=self.one(content.get("files", ())),
        )
        if before is not None and before.video == video:
            task.versions, task.failed, task.curves = before.versions, before.failed, before.curves
        self.tasks[id] = task
        self.scored.clear()
        if status == "ok":
            self._outdate({task.method})

    def _scores(self, content: Mapping[str, Any]) -> None:
        task = self.tasks.get(content["id"])
        if task is None:
            return
        errors = content.get("errors", {})
        names = content["versions"]
        known = {name: version for name, version in task.versions.items() if name not in errors}
        known |= {name: version for name, version in names.items() if name not in errors}
        task.versions = self.one(known)
        task.failed = self.one(tuple(name for name in task.failed if name not in names) + tuple(errors))
        task.curves = task.curves or content.get("curves", False)

    def _other(self, entry: Entry) -> None:
        if isinstance(entry, Original):
            self.originals[entry.index] = entry
        elif isinstance(entry, SetRow):
            self.set_rows[entry.method, entry.metric] = entry
        elif isinstance(entry, Repaired):
            self.repaired.update(*(range(*lines) for lines in entry.lines))
        elif isinstance(entry, Scored):
            requested = entry.requested
            cards = [card for card in entry.cards if requested is None or card.spec in requested]
            self.scored |= {card.spec: card.version for card in cards}
        elif isinstance(entry, Planned):
            planned = frozenset(entry.tasks)
            self._outdate({self.tasks[id].method for id in planned ^ self._planned if id in self.tasks})
            self._planned = planned
            self.scored.clear()
        if isinstance(entry, LATEST):
            self.latest[type(entry)] = entry

    def _outdate(self, methods: set[str]) -> None:
        """Forget values over sets of methods whose results have changed."""
        for key in [key for key in self.set_rows if key[0] in methods]:
            del self.set_rows[key]

    def of_plan(self) -> Iterator[tuple[str, TaskState]]:
        """The tasks of the latest plan that have a record, in the plan's order; without a plan, all."""
        plan = self.last(Planned)
        for id in plan.tasks if plan else self.tasks:
            if id in self.tasks:
                yield id, self.tasks[id]

    def one(self, value: Any) -> Any:
        """One object for all that are equal; lists become tuples."""
        if isinstance(value, str):
            return sys.intern(value)
        key = tuple(value.items() if isinstance(value, dict) else value)
        return self._interned.setdefault(key, value if isinstance(value, dict) else key)
