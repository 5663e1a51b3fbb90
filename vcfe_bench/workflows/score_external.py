"""``vcfe-bench score``: scores counterfactuals that another program made, like those of any method.

The originals have to be videos of a dataset, equal in every pixel, so that oracles, noise floors and the rows of other
methods apply to them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse, islice
from pathlib import Path

import torch
from torch import Tensor

from vcfe_bench import goals
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.core.text import some
from vcfe_bench.core.text_files import read_table
from vcfe_bench.executors import choice, serial
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.method import Context, Explanation, Method, Progress, Query
from vcfe_bench.plugins.terms import Split
from vcfe_bench.runs import plan, sanity
from vcfe_bench.runs.configuration import REFERENCES, THREADS
from vcfe_bench.runs.generate import complete
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.micro_batch import Batch, BatchWork, Outcome
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.runs.video_order import video_order
from vcfe_bench.scoring.session import score_run
from vcfe_bench.video import lossless
from vcfe_bench.video.pictures import frame_files
from vcfe_bench.video.sources import is_video, source
from vcfe_bench.video.timeline import Undecodable
from vcfe_bench.workflows.scored_run import scored_run

GOAL_COLUMNS = ("name", "goal")
"""Columns of the table of goals."""


@dataclass(frozen=True)
class Given:
    """The videos to score.

    Attributes:
        originals: directory of videos of the dataset's ``split``: video files, folders with a picture for each frame,
            or ``.npy`` arrays.
        counterfactuals: directory of their counterfactuals in any of these forms, under the same names without suffix.
        goals: csv file with the columns ``name`` and ``goal``: a class, a value, or a goal as text (``class=2``).
        dataset: spec of the dataset.
        method: name of the row.
        target: spec of the target; None for the dataset's own.
        split: split of the dataset that the originals belong to.
    """

    originals: Path
    counterfactuals: Path
    goals: Path
    dataset: str
    method: str
    target: str | None = None
    split: Split = "test"


class Files(Method):
    """A method whose counterfactuals are files, by sample id; ``name`` is the spec of its row."""

    def __init__(self, name: str, files: Mapping[str, Path]) -> None:
        super().__init__()
        self.spec, self.files = specs.format(*specs.parse(name)), files
        digest = hashlib.sha256()
        for sample, path in sorted(files.items()):
            digest.update(f"{sample}\0".encode())
            for file in frame_files(path) if path.is_dir() else [path]:
                digest.update(file.read_bytes() + b"\0")
        self.fingerprint = digest.hexdigest()[:16]

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(lossless.dequantise(self._read(query.sample.id))) for query in queries]

    def _read(self, sample: str) -> Tensor:
        if sample not in self.files:
            raise FileNotFoundError("no counterfactual was given")
        return lossless.read_foreign(self.files[sample])


def score(
    given: Given,
    out: Path,
    metrics: tuple[str, ...] | None = None,
    observer: Observer | None = None,
    force: bool = False,
    references: bool = True,
) -> Path:
    """Make a run of the given counterfactuals and the reference methods, score it, and return its directory.

    An original without a counterfactual becomes a failed record. What the counterfactuals cost is not known: time,
    memory and calls are NaN. Without ``references``, the run has no rows of reference methods. With ``force``, a target
    that fails the checks of ``runs.sanity`` is used, with warnings.

    Raises:
        UsageError: anything the user has to change, such as originals without a goal.
    """
    observer = observer or Observer()
    if specs.parse(given.method)[0] in REFERENCES:
        raise UsageError(
            f"'{given.method}' is the name of a reference method, which has a row of its own: choose another --method"
        )
    setup = resolve(Request(REFERENCES, given.dataset, given.split, target=given.target))
    originals, counterfactuals = (_videos(folder, observer) for folder in (given.originals, given.counterfactuals))
    requested = _goals(given.goals, setup)
    _check_names(given, originals, counterfactuals, requested)
    if not out.is_dir() or not any(out.iterdir()):
        with serial.threads(THREADS):
            sanity.check(setup.target, setup.dataset, given.split, force, observer.warned)
    indices = _indices(setup, originals, observer)
    samples = {name: checked_sample(setup.dataset, setup.request.split, index).id for name, index in indices.items()}
    files = Files(given.method, {samples[name]: file for name, file in counterfactuals.items()})
    setup = _with_files(setup.request, files, references, setup)
    configuration = dataclasses.replace(setup.configuration(), goals="given", limit=len(originals))
    with scored_run(out, configuration) as store:
        observer.started(out, configuration)
        _generate(setup, store, {index: requested[name] for name, index in indices.items()}, observer)
        for doubt in sanity.doubts(list(store.originals().values()), setup.classes):
            observer.warned(f"target '{setup.target.spec}': {doubt}")
        score_run(store, setup.dataset, metrics, observer)
    return out


def _with_files(request: Request, files: Files, references: bool, setup: Setup | None = None) -> Setup:
    """The setup of a request, with a method whose counterfactuals are files, and the reference methods if asked."""
    setup = setup or resolve(request)
    methods = (files, *setup.methods) if references else (files,)
    recipe = functools.partial(_with_files, request, files, references)
    return dataclasses.replace(setup, methods=methods, recipe=recipe)


def _videos(folder: Path, observer: Observer) -> dict[str, Path]:
    """The files and folders of pictures in a folder, by name without suffix.

    Raises:
        UsageError: there are none, or two of the same name.
    """
    try:
        if is_video(folder):
            raise UsageError(f"{folder} has pictures in it: put those of each video into a folder of their own")
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror or error}") from None
    videos: dict[str, Path] = {}
    for file in files:
        name = file.name if file.is_dir() else file.stem
        if name in videos:
            raise UsageError(f"{folder} has two videos called {name}: {videos[name].name} and {file.name}")
        videos[name] = file
    if not videos:
        raise UsageError(f"{folder} contains no videos")
    for path in filter(Path.is_dir, videos.values()):
        try:
            remarks = source(path).timeline().remarks
        except Undecodable as error:
            raise UsageError(f"{path} is not a video: {error}") from None
        for remark in remarks:
            observer.warned(f"{path}: {remark}")
    return videos


def _goals(file: Path, setup: Setup) -> dict[str, Goal]:
    """The goals of a csv file by the name of the video."""
    try:
        table = read_table(file, GOAL_COLUMNS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is not a csv file with the columns name and goal: {error}") from None
    if missing := [name for name in GOAL_COLUMNS if name not in table.columns]:
        raise UsageError(f"{file} is not a csv file with the columns name and goal: it has no column {missing[0]}")
    requested: dict[str, Goal] = {}
    for _, row in table.rows:
        name, text = row["name"], row["goal"]
        if name in requested:
            raise UsageError(f"{file} has two goals for {name}")
        requested[name] = _goal(
            text.replace(",", ".") if table.decimal_comma and setup.dataset.values else text, setup, file
        )
    return requested


def _goal(text: str, setup: Setup, file: Path) -> Goal:
    """A class by its name, a value in the dataset's unit, or a goal as text."""
    values = setup.dataset.values
    if text in setup.classes:
        return ClassGoal(setup.classes.index(text))
    try:
        goal = ValueGoal(float(text), values.tolerance) if values and "=" not in text else goals.parse(text)
    except ValueError:
        hint = nearest(text, setup.classes) if setup.classes else "write a number"
        raise UsageError(f"'{text[:80]}' in {file} is not a goal; {hint}") from None
    problem = goals.obstacle(goal, len(setup.classes) or 1)
    if problem:
        raise UsageError(f"a goal in {file} cannot be reached: {problem}")
    return goal


def _check_names(
    given: Given, originals: Mapping[str, Path], counterfactuals: Mapping[str, Path], requested: Mapping[str, Goal]
) -> None:
    for problem, names in (
        (f"no goal in {given.goals} for the originals", originals.keys() - requested.keys()),
        (f"no original in {given.originals} for the goals of", requested.keys() - originals.keys()),
        (f"no original in {given.originals} for the counterfactuals", counterfactuals.keys() - originals.keys()),
    ):
        if names:
            raise UsageError(f"{problem} {', '.join(sorted(names))}")


def _indices(setup: Setup, originals: Mapping[str, Path], observer: Observer) -> dict[str, int]:
    """The index in the split of each original by name, in the order of the split.

    They are looked for in the order in which runs take videos, where exported ones come first.
    """
    names: dict[str, str] = {}
    for name, file in originals.items():
        try:
            names.setdefault(lossless.content_hash(lossless.read_foreign(file)), name)
        except OSError as error:
            raise UsageError(str(error)) from None
    if len(names) < len(originals):
        repeated = sorted(set(originals) - set(names.values()))
        raise UsageError(f"the originals {', '.join(repeated)} are copies of others: give each video once")
    indices: dict[str, int] = {}
    split = setup.request.split
    for index in video_order(setup.dataset, split):
        if len(indices) == len(originals):
            break
        original = names.get(
            lossless.content_hash(lossless.quantise(checked_sample(setup.dataset, split, index).video))
        )
        if original is not None:
            indices[original] = index
            observer.scored(len(indices), len(originals), "originals found in the dataset")
    unknown = sorted(originals.keys() - indices.keys())
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)} do not equal any video of the {split} split of '{setup.dataset.spec}' in every "
            "pixel: give the originals as 'vcfe-bench dataset export' writes them"
        )
    return dict(sorted(indices.items(), key=lambda item: item[1]))


def _generate(setup: Setup, store: RunDirectory, requested: Mapping[int, Goal], observer: Observer) -> None:
    """Run the target on the originals, by index in the split, and store all counterfactuals not stored yet."""
    originals = Originals(setup, store.originals())
    chosen = [originals[index] for index in requested]
    _check_open(chosen, requested, setup.target.spec)
    planned = _plan(setup, chosen, [*requested.values()])
    complete(setup, store, planned, originals, observer, _Work(setup), choice.current())


def _check_open(chosen: Sequence[Original], requested: Mapping[int, Goal], target: str) -> None:
    """Refuse goals that the prediction for the original meets: any video would count as a success.

    Raises:
        UsageError: there are such goals.
    """
    met = [o.sample for o in chosen if requested[o.index].met(torch.tensor([o.output]))[0]]
    if met:
        raise UsageError(
            f"the prediction of target '{target}' for the original already meets the goal of {some(met)}: "
            "request another prediction, or leave the videos out"
        )


class _Work(BatchWork):
    """The work on a micro-batch, whose outcomes have no costs where the method is ``Files``."""

    def __call__(self, batch: Batch, report: Callable[[Progress], None]) -> list[Outcome]:
        outcomes = super().__call__(batch, report)
        read = isinstance(self.methods[batch[0]], Files)
        return [_without_costs(outcome) for outcome in outcomes] if read else outcomes


def _without_costs(outcome: Outcome) -> Outcome:
    record = dataclasses.replace(outcome.record, seconds=math.nan, peak_memory_mb=math.nan, calls=math.nan)
    return dataclasses.replace(outcome, record=record)


def _plan(setup: Setup, chosen: list[Original], requested: list[Goal]) -> Plan:
    tasks = [
        task
        for method in setup.methods
        for task in plan.tasks_of(setup, method, chosen, [[goal] for goal in requested])
    ]
    order = video_order(setup.dataset, setup.request.split)
    others = filterfalse({original.index for original in chosen}.__contains__, reversed(order))
    return Plan(tuple(tasks), tuple(islice(others, len(chosen))), setup.methods)
