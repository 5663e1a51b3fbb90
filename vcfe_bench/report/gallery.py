"""The gallery of a report: one row per video and goal, with the original and the answers of all methods."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vcfe_bench.core.text import number
from vcfe_bench.figures.labels import goal_label, prediction_label
from vcfe_bench.report.media import Media, Sheet
from vcfe_bench.runs import tables
from vcfe_bench.runs.run_directory import RunDirectory

SEMANTIC_FLIP = "semantic_FR"
"""The metric that tells whether the content of a counterfactual shows the goal."""
ATTRIBUTES, BOXES = "tube_attributes", "tube_boxes"
"""Artefacts that are drawn into the videos, see ``vcfe_methods.tubes``."""
Box = tuple[float, ...] | None


@dataclass(frozen=True)
class World:
    """Runs of one dataset and one target, which are shown together.

    ``records`` are those of all its runs, each task once; a column ``run`` has the place of its run in ``stores``.
    """

    title: str
    classes: tuple[str, ...]
    stores: tuple[RunDirectory, ...]
    records: pd.DataFrame

    @property
    def done(self) -> pd.DataFrame:
        """The records with a video."""
        return self.records[self.records["status"] == "ok"]


@dataclass(frozen=True)
class Answer:
    """What one method made of a video and a goal, as the gallery shows it.

    Attributes:
        method: place of the method in the report.
        status: ``ok``, ``failed`` or ``skipped``; the last two have a ``reason``, and no video.
        prediction: the target's prediction for the counterfactual.
        met: whether that prediction meets the goal.
        semantic: whether the content of the counterfactual shows the goal; None if that is not known.
        scores: by metric, as text.
        boxes: ``[k][T]`` boxes (left, top, right, bottom in pixels), None where there is none.
        attributes: the names of the k.
    """

    id: str
    method: int
    status: str
    reason: str
    prediction: str
    met: bool
    semantic: bool | None
    scores: Mapping[str, str]
    video: Sheet | None
    attributes: tuple[str, ...]
    boxes: tuple[tuple[Box, ...], ...]


@dataclass(frozen=True)
class Row:
    """A video and a goal, with the answers of all methods.

    Attributes:
        id: the same in every report of these runs.
        world: place of the world in the report.
        prediction: the target's prediction for the original.
        original: None if no method has an answer, since then no video is stored.
        clips: files of the videos next to each other, by format; empty where they were not written.
    """

    id: str
    world: int
    sample: str
    prediction: str
    goal: str
    fps: float
    original: Sheet | None
    answers: tuple[Answer, ...]
    clips: Mapping[str, str]


def worlds(stores: Sequence[RunDirectory]) -> list[World]:
    """The runs by dataset and target, in their order.

    Raises:
        UsageError: a run has no records yet.
    """
    groups: dict[str, list[RunDirectory]] = {}
    for store in stores:
        made = store.configuration
        groups.setdefault(f"dataset {made.dataset}, target {made.target.spec}", []).append(store)
    return [
        World(title, members[0].configuration.classes, tuple(members), _together(members))
        for title, members in groups.items()
    ]


def _together(stores: Sequence[RunDirectory]) -> pd.DataFrame:
    """All records; of a task in several runs the first that was successful."""
    together = pd.concat(
        [tables.read_records(store).assign(run=place) for place, store in enumerate(stores)], ignore_index=True
    )
    successful_first = (together["status"] != "ok").sort_values(kind="stable").index
    return together.loc[successful_first].drop_duplicates("id").sort_index()


def questions(world: World) -> list[tuple[int, str]]:
    """Index in the split and goal of each row, in the order of the records."""
    return list(world.records[["index", "goal"]].drop_duplicates().itertuples(index=False, name=None))


def rows(world: World, place: int, methods: Sequence[str], metrics: Sequence[str], media: Media) -> Iterator[Row]:
    """The rows of a world, which has the given ``place`` in the report; their videos are written to ``media``.

    ``methods`` are those of the report, in their order, and ``metrics`` the scores to show.

    Raises:
        UsageError: a video is missing or damaged.
    """
    originals = [store.originals() for store in world.stores]
    groups = world.records.groupby(["index", "goal"], sort=False).indices
    for index, goal in questions(world):
        members = world.records.iloc[groups[index, goal]].to_dict("records")
        members.sort(key=lambda record: methods.index(record["method"]))
        done = next((record for record in members if record["status"] == "ok"), None)
        stored = originals[done["run"]][index] if done else None
        sheet = media.sheet(world.stores[done["run"]], done["original"], stored.sha256) if done and stored else None
        answers = [_answer(record, world, methods.index(record["method"]), metrics, media) for record in members]
        id = hashlib.sha256(f"{world.title}/{index}/{goal}".encode()).hexdigest()[:12]
        fps = stored.fps if stored else 1.0
        parts = [("original", sheet), *((methods[answer.method], answer.video) for answer in answers)]
        yield Row(
            id=id,
            world=place,
            sample=members[0]["sample"],
            prediction=prediction_label(members[0]["prediction"], world.classes),
            goal=goal_label(goal, world.classes),
            fps=fps,
            original=sheet,
            answers=tuple(answers),
            clips=media.clips(id, [(label, part) for label, part in parts if part], fps) if sheet else {},
        )


def _answer(record: Mapping[Any, Any], world: World, method: int, metrics: Sequence[str], media: Media) -> Answer:
    store, done = world.stores[record["run"]], record["status"] == "ok"
    artefacts = (store.arrays("artefacts", record["id"]) or {}) if done else {}
    scores = {name: record[name] for name in metrics if math.isfinite(record.get(name, math.nan))} if done else {}
    return Answer(
        id=record["id"],
        method=method,
        status=record["status"],
        reason=record["reason"],
        prediction=prediction_label(_predicted(record["after"], world.classes), world.classes) if done else "",
        met=done and bool(record["met"]),
        semantic=bool(scores[SEMANTIC_FLIP]) if SEMANTIC_FLIP in scores else None,
        scores={name: number(value) for name, value in scores.items()},
        video=media.sheet(store, record["video"], record["video_sha256"]) if done else None,
        attributes=tuple(artefacts[ATTRIBUTES].tolist()) if ATTRIBUTES in artefacts else (),
        boxes=tuple(_boxes(tube) for tube in artefacts.get(BOXES, ())),
    )


def _predicted(outputs: Sequence[float], classes: Sequence[str]) -> float:
    """The class with the highest logit, or the value of a regressor."""
    return float(np.argmax(outputs) if classes else outputs[0])


def _boxes(tube: np.ndarray) -> tuple[Box, ...]:
    """``[T, 4]`` pixels, rounded for the screen."""
    return tuple(tuple(box) if np.isfinite(box).all() else None for box in tube.astype(float).round(2).tolist())
