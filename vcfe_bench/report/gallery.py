"""What a report shows of every record: the original, the counterfactual, boxes, scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vcfe_bench.figures.labels import asked, said
from vcfe_bench.report.media import Media, Sheet
from vcfe_bench.runs.run_directory import RECORDS, RunDirectory

MEANING = "semantic_FR"
"""The metric that says whether the content of a counterfactual shows the goal."""
ATTRIBUTES, BOXES = "tube_attributes", "tube_boxes"
"""Artefacts that are drawn into the videos, see ``vcfe_methods.tubes``."""
Box = tuple[float, ...] | None


@dataclass(frozen=True)
class World:
    """Runs that can be looked at together: one dataset, one target.

    ``records`` are those of all its runs, each task once, with a column ``run``: the place of its store in ``stores``.
    """

    title: str
    classes: tuple[str, ...]
    stores: tuple[RunDirectory, ...]
    records: pd.DataFrame

    def done(self) -> Iterator[tuple[RunDirectory, dict[str, Any]]]:
        """Records with a video, each with the store that holds it."""
        for record in self.records[self.records["status"] == "ok"].to_dict("records"):
            yield self.stores[record["run"]], {str(key): value for key, value in record.items()}


@dataclass(frozen=True)
class Item:
    """One counterfactual.

    ``question`` names the video and the goal, ``seen`` and ``asked`` are classes or values in words; ``met`` is whether
    the target says the goal, ``meant`` whether the content shows it (None: not known). ``boxes`` has ``[k][T]`` boxes
    (left, top, right, bottom in pixels, None where there is none) and ``attributes`` the names of the k.
    """

    id: str
    world: str
    method: str
    sample: str
    question: str
    seen: str
    asked: str
    met: bool
    meant: bool | None
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
        groups.setdefault(f"dataset {made['dataset']}, target {made['target']['spec']}", []).append(store)
    return [
        World(title, tuple(members[0].configuration["classes"]), tuple(members), _together(members))
        for title, members in groups.items()
    ]


def _together(stores: Sequence[RunDirectory]) -> pd.DataFrame:
    """All records; of a task that several runs did, the first that worked."""
    together = pd.concat(
        [store.table(RECORDS).assign(run=place) for place, store in enumerate(stores)], ignore_index=True
    )
    worked_first = (together["status"] != "ok").sort_values(kind="stable").index
    return together.loc[worked_first].drop_duplicates("id").sort_index()


def items(world: World, metrics: Sequence[str], media: Media) -> Iterator[Item]:
    """The counterfactuals of a world with the scores of ``metrics``, whose videos are put into ``media``.

    Raises:
        UsageError: a video is missing or damaged.
    """
    originals = [store.originals() for store in world.stores]
    for store, record in world.done():
        original = originals[record["run"]][record["index"]]
        scores = {name: record[name] for name in metrics if math.isfinite(record.get(name, math.nan))}
        artefacts = store.arrays("artefacts", record["id"]) or {}
        yield Item(
            id=record["id"],
            world=world.title,
            method=record["method"],
            sample=record["sample"],
            question=f"{world.title} {record['sample']} {record['goal']}",
            seen=said(record["prediction"], world.classes),
            asked=asked(record["goal"], world.classes),
            met=bool(record["met"]),
            meant=bool(scores[MEANING]) if MEANING in scores else None,
            scores=scores,
            original=media.sheet(store, record["original"], original.sha256),
            video=media.sheet(store, record["video"], record["video_sha256"]),
            fps=original.fps,
            attributes=tuple(artefacts[ATTRIBUTES].tolist()) if ATTRIBUTES in artefacts else (),
            boxes=tuple(_boxes(tube) for tube in artefacts.get(BOXES, ())),
        )


def _boxes(tube: np.ndarray) -> tuple[Box, ...]:
    """``[T, 4]`` pixels, rounded for the screen."""
    return tuple(tuple(box) if np.isfinite(box).all() else None for box in tube.astype(float).round(2).tolist())
