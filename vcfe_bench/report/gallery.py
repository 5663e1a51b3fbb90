"""The gallery of a report: for each result the original, the counterfactual, boxes and scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

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
class Result:
    """A record with a video, and the run that stores it; ``scores`` has all sample metrics that are defined."""

    store: RunDirectory
    id: str
    method: str
    sample: str
    index: int
    goal: str
    prediction: float
    met: bool
    original: str
    video: str
    video_sha256: str
    scores: Mapping[str, float]


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

    def results(self, metrics: Sequence[str] = ()) -> Iterator[Result]:
        """The records with a video, with their scores by ``metrics``."""
        for record in self.done.to_dict("records"):
            yield Result(
                store=self.stores[record["run"]],
                id=record["id"],
                method=record["method"],
                sample=record["sample"],
                index=record["index"],
                goal=record["goal"],
                prediction=record["prediction"],
                met=bool(record["met"]),
                original=record["original"],
                video=record["video"],
                video_sha256=record["video_sha256"],
                scores={name: record[name] for name in metrics if math.isfinite(record.get(name, math.nan))},
            )


@dataclass(frozen=True)
class Item:
    """One result as the gallery shows it.

    Attributes:
        question: names the video and the goal.
        prediction: the target's prediction for the original.
        goal: the requested class or value.
        met: whether the target's prediction for the counterfactual meets the goal.
        semantic: whether the content of the counterfactual shows the goal; None if that is not known.
        boxes: ``[k][T]`` boxes (left, top, right, bottom in pixels), None where there is none.
        attributes: the names of the k.
    """

    id: str
    world: str
    method: str
    sample: str
    question: str
    prediction: str
    goal: str
    met: bool
    semantic: bool | None
    scores: Mapping[str, float]
    original: Sheet
    video: Sheet
    fps: float
    attributes: tuple[str, ...]
    boxes: tuple[tuple[Box, ...], ...]


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


def items(world: World, metrics: Sequence[str], media: Media) -> Iterator[Item]:
    """The results of a world with their scores by ``metrics``; their videos are written to ``media``.

    Raises:
        UsageError: a video is missing or damaged.
    """
    originals = {store.path: store.originals() for store in world.stores}
    for result in world.results(metrics):
        original = originals[result.store.path][result.index]
        artefacts = result.store.arrays("artefacts", result.id) or {}
        yield Item(
            id=result.id,
            world=world.title,
            method=result.method,
            sample=result.sample,
            question=f"{world.title} {result.sample} {result.goal}",
            prediction=prediction_label(result.prediction, world.classes),
            goal=goal_label(result.goal, world.classes),
            met=result.met,
            semantic=bool(result.scores[SEMANTIC_FLIP]) if SEMANTIC_FLIP in result.scores else None,
            scores=result.scores,
            original=media.sheet(result.store, result.original, original.sha256),
            video=media.sheet(result.store, result.video, result.video_sha256),
            fps=original.fps,
            attributes=tuple(artefacts[ATTRIBUTES].tolist()) if ATTRIBUTES in artefacts else (),
            boxes=tuple(_boxes(tube) for tube in artefacts.get(BOXES, ())),
        )


def _boxes(tube: np.ndarray) -> tuple[Box, ...]:
    """``[T, 4]`` pixels, rounded for the screen."""
    return tuple(tuple(box) if np.isfinite(box).all() else None for box in tube.astype(float).round(2).tolist())
