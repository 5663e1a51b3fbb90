"""Strips of frames with difference maps, as in figures 3 to 8 of the BTTF paper (arXiv 2511.20295)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.figures.labels import goal_label, prediction_label
from vcfe_bench.runs import tables
from vcfe_bench.runs.run_directory import RunDirectory

GAP = 2
"""Width of the white bar between frames, in pixels of the video."""
WIDTH = 7.5
"""Width of the figure, in inches."""
TITLE = 0.22
"""Height of a strip's title, in inches."""
SHOWN = ("FR", "semantic_FR", "confidence_after", "MAE", "SSIM", "LPIPS(alex)", "LPIPS(st-alex)")
"""Scores in the title of a counterfactual, where it has them."""


def figure(store: RunDirectory, ids: Sequence[str], frames: int = 9, differences: bool = True) -> Figure:
    """A strip for the original, and for each record one for its counterfactual and one for the difference of the two.

    Args:
        store: the run.
        ids: records of one original.
        frames: the number of frames, evenly spaced, first and last included.
        differences: whether to show difference maps: absolute differences summed over the channels and scaled by their
            greatest value, which the title gives.

    Raises:
        UsageError: no such record, one without a video, or records of several originals.
    """
    records = tables.read_records(store).set_index("id")
    selected = [_record(records, id) for id in ids]
    originals = {record["original"] for record in selected}
    if len(originals) != 1:
        raise UsageError(f"the records are of {len(originals)} different originals; choose records of one")
    by_name = {original.video: original.sha256 for original in store.originals().values()}
    name = originals.pop()
    original = store.video(name, by_name.get(name)).numpy()
    shown = np.linspace(0, len(original) - 1, min(frames, len(original))).round().astype(int)
    classes = store.configuration.classes
    title = f"original {selected[0]['sample']}, predicted {prediction_label(selected[0]['prediction'], classes)}"
    strips = [(title, _join(original[shown]))]
    for record in selected:
        video = store.video(record["video"], record["video_sha256"]).numpy()
        strips.append((_title(record, classes), _join(video[shown])))
        if differences:
            difference = abs(video[shown].astype(int) - original[shown]).sum(axis=1)
            greatest = difference.max()
            grey = (255 * difference / max(greatest, 1)).astype(np.uint8)
            title = f"difference, black to white: 0 to {greatest / (3 * 255):.3f}"
            strips.append((title, _join(np.repeat(grey[:, None], 3, axis=1))))
    return _draw(strips)


def _record(records: pd.DataFrame, id: str) -> Mapping[str, Any]:
    if id not in records.index:
        raise UsageError(f"no record '{id}' in this run; {nearest(id, list(records.index))}")
    record = records.loc[id]
    if pd.isna(record["video"]):
        raise UsageError(f"record '{id}' has no video: {record['status']}, {record['reason']}")
    return record.to_dict()


def _title(record: Mapping[str, Any], classes: Sequence[str]) -> str:
    scores = (f"{name} {record[name]:.2f}" for name in SHOWN if pd.notna(record.get(name)))
    return ", ".join([f"{record['method']}, goal {goal_label(record['goal'], classes)}", *scores])


def _join(frames: np.ndarray) -> np.ndarray:
    """Frames ``[n, 3, H, W]`` next to each other, ``[H, W', 3]``."""
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=255)
    return padded.transpose(2, 0, 3, 1).reshape(frames.shape[2], -1, 3)[:, :-GAP]


def _draw(strips: Sequence[tuple[str, np.ndarray]]) -> Figure:
    heights = [TITLE + WIDTH * image.shape[0] / image.shape[1] for _, image in strips]
    figure = Figure(figsize=(WIDTH, sum(heights)))
    top = sum(heights)
    for (title, image), height in zip(strips, heights, strict=True):
        top -= height
        axes = figure.add_axes((0, top / sum(heights), 1, (height - TITLE) / sum(heights)))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_title(title, loc="left", fontsize=8, pad=2)
        axes.set_axis_off()
    return figure
