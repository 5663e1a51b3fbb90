"""The benchmark from Python: what ``import vcfe_bench as vb`` offers, made for notebooks.

>>> import vcfe_bench as vb
>>> run = vb.open("runs/first")  # doctest: +SKIP
>>> run.summary()  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import metric_names, names, specs
from vcfe_bench.plugins.terms import Split
from vcfe_bench.results import leaderboard
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.summary import summaries
from vcfe_bench.results.writers.html import table
from vcfe_bench.results.writers.summary import render
from vcfe_bench.runs import tables
from vcfe_bench.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from vcfe_bench.runs.progress import Observer

Words = str | Sequence[str]
WIDTH = 120
"""Columns of a summary that is printed as text."""


@dataclass(frozen=True)
class Html:
    """A piece of HTML that notebooks show.

    Attributes:
        html: the HTML.
        text: what stands for it where only text is shown.
    """

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


class Board:
    """A leaderboard: of one run, or of several that are compared."""

    def __init__(self, board: Leaderboard) -> None:
        self.board = board

    def summary(self, columns: Words = (), intervals: bool = False) -> Html:
        """The short table, as ``vcfe-bench leaderboard`` prints it.

        Args:
            columns: metrics or families of metrics in any case, ``n``, ``calls``, ``s/video``; the usual ones if empty.
            intervals: with 95 % intervals.

        Raises:
            UsageError: there is no such column.
        """
        tables = list(summaries(self.board, _list(columns), intervals))
        notes = "".join(f"<li>{escape(note)}</li>" for note in dict.fromkeys(n for one in tables for n in one.notes))
        html = "\n".join([*(table(one.grid) for one in tables), f"<ul>{notes}</ul>"])
        return Html(html, "\n\n".join(render(one, WIDTH).plain for one in tables))

    def table(self) -> pd.DataFrame:
        """One row per method with all metrics, intervals and costs; see ``results.leaderboard.Leaderboard.frame``."""
        return self.board.frame.copy()

    def _repr_html_(self) -> str:
        return self.summary().html

    def __repr__(self) -> str:
        return self.summary().text


class Run(Board):
    """A run directory.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        super().__init__(leaderboard.load(self.path))

    @cached_property
    def _store(self) -> RunDirectory:
        return RunDirectory(self.path)

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per method, video and goal, with all scores; see ``runs.records.Record``."""
        return tables.read_records(self._store)

    def show(self, sample: str, methods: Words = (), goal: str = "", differences: bool = True) -> Html:
        """A video next to its counterfactuals and what they change, playing in step.

        Args:
            sample: id of the video, as in ``records["sample"]``.
            methods: specs of the methods to show; all that have a counterfactual if empty.
            goal: text of the goal, as in ``records["goal"]``; the first of the video if empty.
            differences: with the absolute difference to the original, scaled to its greatest value.

        Raises:
            UsageError: there is no such video, or no counterfactual of it by these methods.
        """
        from vcfe_bench.figures.labels import goal_label, prediction_label
        from vcfe_bench.figures.players import in_step
        from vcfe_bench.figures.side_by_side import difference

        of_video = self.records[self.records["sample"] == sample]
        if of_video.empty:
            raise UsageError(f"there is no video '{sample}'; {nearest(sample, set(self.records['sample']))}")
        goal = goal or str(of_video["goal"].iloc[0])
        chosen = _list(methods)
        done = of_video[(of_video["status"] == "ok") & (of_video["goal"] == goal)]
        if chosen:
            done = done[done["method"].isin(chosen)]
        if done.empty:
            raise UsageError(f"no counterfactual of video '{sample}' for goal {goal} by these methods")
        classes = self._store.configuration.classes
        original = self._store.video(str(done["original"].iloc[0]))
        before = prediction_label(done["prediction"].iloc[0], classes)
        videos = [(f"original: {before}", original)]
        for _, row in done.iterrows():
            made = self._store.video(str(row["video"]))
            videos.append((f"{row['method']}: goal {'met' if row['met'] else 'not met'}", made))
            if differences:
                videos.append((f"{row['method']}: difference", difference(original, made)))
        (fps,) = {one.fps for one in self._store.originals().values() if one.sample == sample}
        caption = f"video {sample}, goal {goal_label(goal, classes)}"
        return Html(in_step(videos, fps, caption), f"{caption}: {', '.join(title for title, _ in videos)}")


def run(
    methods: Words,
    dataset: str,
    *,
    target: str | None = None,
    generator: str | None = None,
    split: Split = "test",
    limit: int = 8,
    goals: str = "one",
    preset: str | None = None,
    seed: int = 0,
    budget: float | None = None,
    metrics: Words | None = None,
    out: str | Path | None = None,
    hooks: Words = (),
    overwrite: bool = False,
    force: bool = False,
    in_process: bool = False,
    observer: Observer | None = None,
) -> Run:
    """Generate counterfactuals and score them; the same call resumes an interrupted run.

    Args:
        methods: specs of methods: a list, or text with commas.
        dataset: spec of the dataset.
        target: spec of the target; the dataset's own if None, as with ``generator``.
        split: ``train``, ``validation`` or ``test``.
        limit: number of videos.
        goals: ``one``, ``all``, ``SRC:DST`` or a value, as for ``vcfe-bench run``.
        preset: named set of parameters, for all methods that define it.
        seed: base seed of all randomness.
        budget: what each method may spend on the network calls for a task; None for no limit.
        metrics: names, specs or families of metrics; all if None.
        out: run directory; ``runs/DATASET-HASH`` if None.
        hooks: names of hooks that follow the run.
        overwrite: delete a run that ``out`` already holds.
        force: run a target that fails the checks of its statistics, outputs and gradients.
        in_process: run methods in this process, as a debugger needs it, without limits of time and memory.
        observer: gets the events of the run.

    Raises:
        UsageError: anything the user has to change.
    """
    for kind, chosen in (("method", _list(methods)), ("dataset", (dataset,)), ("target", (target,))):
        names.check(kind, chosen)
    asked = None if metrics is None else metric_names.resolve(",".join(_list(metrics)), names.names("metric"))
    from vcfe_bench.executors.in_process import InProcess
    from vcfe_bench.runs.progress import Observer
    from vcfe_bench.runs.setup import Request
    from vcfe_bench.workflows import hooks as hooking
    from vcfe_bench.workflows import run as workflow

    request = Request(_list(methods), dataset, split, limit, goals, target, generator, preset, seed, budget)
    followed = hooking.Hooked(observer or Observer(), hooking.load(_list(hooks)))
    place = None if out is None else Path(out)
    return Run(workflow.run(request, place, asked, followed, overwrite, force, InProcess() if in_process else None))


def open(path: str | Path) -> Run:
    """The run in a directory.

    Raises:
        UsageError: it is not a run, or not scored yet.
    """
    return Run(path)


def compare(first: Run | str | Path, second: Run | str | Path, *more: Run | str | Path) -> Board:
    """Several runs as one table, methods tested against each other within a dataset and target.

    Raises:
        UsageError: not a run, or scored with different versions of a metric.
    """
    runs = [one if isinstance(one, Run) else Run(one) for one in (first, second, *more)]
    return Board(leaderboard.join([one.path for one in runs]))


def _list(words: Words) -> tuple[str, ...]:
    return tuple(specs.split(words) if isinstance(words, str) else words)
