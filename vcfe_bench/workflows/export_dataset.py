"""``vcfe-bench dataset export``: writes what another program needs to make counterfactuals that ``score`` accepts."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors import serial
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import REFERENCES, THREADS
from vcfe_bench.runs.files import writing
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.runs.video_order import video_order
from vcfe_bench.video import lossless

ORIGINALS, GOALS = "originals", "goals.csv"
"""Names of the folder and of the file that are written."""
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f,;]')
"""Signs that file names of some system, or cells of some table, cannot have."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        videos: number of originals.
        target: spec of the target whose predictions the goals change.
    """

    originals: Path
    goals: Path
    videos: int
    target: str


def export(
    request: Request, out: Path, form: str = "video", report: Callable[[int, int], None] = lambda done, total: None
) -> Exported:
    """Write the videos and goals that ``run`` would take for the same request.

    Each original is written to ``out/originals`` in one of ``FORMS``, with exactly the pixels of the dataset, and has a
    line in ``out/goals.csv``: ``name``, ``goal``, and the target's ``prediction``.

    Args:
        request: its methods are not run.
        form: one of ``FORMS``.
        report: is called with the number of videos written so far and of all.

    Raises:
        UsageError: anything the user has to change, such as several goals for one video.
        CannotWrite: a file cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; choose another --out")
    setup = resolve(replace(request, methods=REFERENCES))
    with serial.threads(THREADS):
        chosen, goals = plan.questions(setup, Originals(setup, {}), video_order(setup.dataset, request.split))
    if any(len(several) > 1 for several in goals):
        raise UsageError(
            f"--goals {request.goals} requests several goals for a video, and score takes one: choose one, SRC:DST "
            "or a value"
        )
    names = list(_names(original.sample for original in chosen))
    folder, lines = out / ORIGINALS, []
    with writing(out):
        folder.mkdir(parents=True)
        for number, (name, original, (goal,)) in enumerate(zip(names, chosen, goals, strict=True), 1):
            pixels = lossless.quantise(sample_of(setup.dataset, request.split, original).video)
            FORMS[form](folder / name, pixels, original.fps)
            lines.append((name, _text(goal, setup), _prediction(original.prediction, setup)))
            report(number, len(chosen))
        with (out / GOALS).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("name", "goal", "prediction"), *lines])
    return Exported(folder, out / GOALS, len(chosen), setup.target.spec)


def _names(samples: Iterable[str]) -> Iterator[str]:
    """A file name without suffix for each sample, different also where case does not count."""
    taken: set[str] = set()
    for sample in samples:
        plain = UNSAFE.sub("_", sample).strip(". ") or "video"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        yield name


def _text(goal: Goal, setup: Setup) -> str:
    """The class or value that a goal asks for, where ``score`` reads it as this goal; else the goal as text."""
    match goal:
        case ClassGoal(index) if (name := setup.classes[index]) == name.strip() and setup.classes.index(name) == index:
            return name
        case ValueGoal(value, tolerance) if setup.dataset.values and tolerance == setup.dataset.values.tolerance:
            return repr(value).removesuffix(".0")
    return str(goal)


def _prediction(prediction: float, setup: Setup) -> str:
    return setup.classes[int(prediction)] if setup.classes else f"{prediction:g}"


def _write_video(path: Path, pixels: Tensor, fps: float) -> None:
    lossless.write(path.with_name(path.name + lossless.SUFFIX), pixels, fps)


def _write_array(path: Path, pixels: Tensor, fps: float) -> None:
    np.save(path.with_name(path.name + ".npy"), _frames(pixels), allow_pickle=False)


def _write_pictures(path: Path, pixels: Tensor, fps: float) -> None:
    path.mkdir()
    for number, frame in enumerate(_frames(pixels)):
        Image.fromarray(frame).save(path / f"{number:05d}.png")


def _frames(pixels: Tensor) -> np.ndarray:
    """uint8 ``[T, H, W, 3]``."""
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


FORMS: Mapping[str, Callable[[Path, Tensor, float], None]] = {
    "video": _write_video,
    "npy": _write_array,
    "png": _write_pictures,
}
"""How a video can be written: a lossless video file, a uint8 array ``[T, H, W, 3]``, or a folder with a PNG file for
each frame."""
