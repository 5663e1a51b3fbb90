"""Plots of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from vcfe_bench import goals
from vcfe_bench.figures.labels import goal_label
from vcfe_bench.report import drawing
from vcfe_bench.report.drawing import Plot
from vcfe_bench.report.gallery import World
from vcfe_bench.results.cells import ARROWS
from vcfe_bench.results.curves import MEASURES, Curve, curves, records_of
from vcfe_bench.results.grid import by_criterion
from vcfe_bench.results.rows import declined
from vcfe_bench.results.writers import curve_figure as against_calls
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import CURVES, RunDirectory

TICK = 22
"""Longest name of a method next to an axis; longer ones are cut."""
LONG = 7
"""Longest name of a class that is written horizontally below its column."""
LETTER = 0.08
"""Width of a letter in the name of a class, in inches."""
PATHS, DOTS = 64, 500
"""Most lines per method in a plot of convergence; most dots per method in other plots, and curves behind a median."""
QUARTILES = (25, 50, 75)


@dataclass(frozen=True)
class Group:
    """Plots of one kind, with sentences on how to read them."""

    title: str
    reading: str
    plots: tuple[Plot, ...]


def groups(world: World, rows: pd.DataFrame, metrics: Sequence[ScoredCard], methods: Sequence[str]) -> Iterator[Group]:
    """All plots of a world, without the kinds for which there is nothing to draw.

    ``rows`` is its part of ``Leaderboard.frame``; ``methods`` gives each method its place in the key.
    """
    places = {method: place for place, method in enumerate(methods)}
    done, requested = world.done, world.records[~declined(world.records)]
    present = dict(by_criterion(rows, metrics))
    rates = [card for card in present.get("validity", []) if card.unit == "rate" and not card.selected]
    distances = [card for card in present.get("proximity", []) if card.direction]
    values = [card for cards in present.values() for card in cards if card.level == "sample" and card.unit != "rate"]
    kinds = (
        Group(
            "Validity against proximity",
            "A good explanation reaches its goal with little change. Lines are 95 % intervals over videos. Rates that "
            "are defined for flips only are left out, since each method has them on different videos.",
            tuple(
                drawing.against(rows, drawing.quantity(y), drawing.quantity(x), places)
                for y in rates
                for x in distances
            ),
        ),
        Group(
            "Success against calls",
            against_calls.READING,
            tuple(
                _success(measure, found, places)
                for measure in MEASURES
                if (found := curves(records_of(world.stores), measure))
            ),
        ),
        Group(
            "Distributions",
            f"One dot per video and goal, at most {DOTS} per method; the bar is the interquartile range, the line the "
            "median.",
            tuple(_distribution(done, metric, places) for metric in values),
        ),
        Group(
            "Convergence",
            "Losses during optimisation: one line per video, which ends in a dot where the method stopped. At most "
            f"{PATHS} videos per method.",
            tuple(_convergence(world, places)),
        ),
        Group(
            "Curves behind metrics",
            "From the original (left) to the counterfactual (right): median over videos and interquartile range.",
            tuple(_curves(world, places)),
        ),
        Group(
            "From source to goal",
            "Rows: the target's prediction for the original. Columns: the goal. Cells: goals met of goals requested."
            if world.classes
            else "The target's prediction for the counterfactual against the requested value; the line is y = x.",
            tuple(_confusion(requested, method, world.classes) for method in places if (done["method"] == method).any())
            if world.classes
            else (_reached(done, places),),
        ),
    )
    yield from (kind for kind in kinds if kind.plots)


def _tick(method: str) -> str:
    return method if len(method) <= TICK else f"{method[: TICK - 1]}…"


def _success(measure: str, found: Mapping[str, Curve], places: Mapping[str, int]) -> Plot:
    def style(method: str) -> Mapping[str, Any]:
        return {"color": drawing.colour(places[method]), "marker": drawing.marker(places[method])}

    title = f"{measure} against calls"
    with matplotlib.rc_context(drawing.SETTINGS):
        figure, axes = drawing.axes(title)
        against_calls.draw(axes, found, style)
        axes.set_ylabel(f"{measure}{ARROWS['higher']}")
        return Plot(title, drawing.svg(figure, f"{title} per video, by method"))


def _distribution(done: pd.DataFrame, metric: ScoredCard, places: Mapping[str, int]) -> Plot:
    name = metric.name
    values = {method: part for method in places if len(part := done.loc[done["method"] == method, name].dropna())}
    with matplotlib.rc_context(drawing.SETTINGS):
        figure, axes = drawing.axes(name, (drawing.SIZE[0], 0.8 + 0.32 * len(values)))
        for line, (method, part) in enumerate(values.items()):
            low, middle, high = np.percentile(part, QUARTILES)
            colour = drawing.colour(places[method])
            axes.barh(line, high - low, 0.6, low, color=colour, alpha=0.25)
            axes.vlines(middle, line - 0.3, line + 0.3, color=colour, linewidth=2)
            part = part.head(DOTS)
            aside = 0.2 * np.sin(np.arange(len(part)) * 2.4)
            axes.scatter(part, line + aside, 7, colour, marker=drawing.marker(places[method]), linewidths=0, alpha=0.8)
        axes.set_yticks(range(len(values)), [_tick(method) for method in values])
        axes.invert_yaxis()
        axes.set_xlabel(", ".join(filter(None, (name, metric.unit))) + ARROWS[metric.direction])
        return Plot(name, drawing.svg(figure, f"Distribution of {name} by method"))


def _convergence(world: World, places: Mapping[str, int]) -> Iterator[Plot]:
    """One plot for each trace of each method that has 'loss' in its name."""
    series: dict[tuple[str, str], list[np.ndarray]] = {}
    for store, method, id in _some_of_each(world, PATHS):
        for name, values in (store.arrays("traces", id) or {}).items():
            if "loss" in name and np.isfinite(values).any():
                series.setdefault((method, name), []).append(np.asarray(values, float))
    for (method, name), runs in sorted(series.items(), key=lambda entry: places[entry[0][0]]):
        title = f"{_tick(method)}: {name}"
        with matplotlib.rc_context(drawing.SETTINGS):
            figure, axes = drawing.axes(title)
            for run in runs:
                known = np.flatnonzero(np.isfinite(run))
                axes.plot(known + 1, run[known], color=drawing.colour(places[method]), linewidth=0.8, alpha=0.5)
                axes.plot(known[-1] + 1, run[known[-1]], "o", color=drawing.colour(places[method]), markersize=4)
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
            axes.set(xlabel="iteration", ylabel=name)
            yield Plot(title, drawing.svg(figure, f"{name} of {method} by iteration"))


def _some_of_each(world: World, count: int) -> Iterator[tuple[RunDirectory, str, str]]:
    """Run, method and id of the first ``count`` results of each method."""
    for record in world.done.groupby("method", sort=False).head(count).to_dict("records"):
        yield world.stores[record["run"]], record["method"], record["id"]


def _curves(world: World, places: Mapping[str, int]) -> Iterator[Plot]:
    """One plot for each kind of curve that metrics have stored, with all methods."""
    series: dict[str, dict[str, list[np.ndarray]]] = {}
    for store, method, id in _some_of_each(world, DOTS):
        for name, values in (store.arrays(CURVES, id) or {}).items():
            series.setdefault(name, {}).setdefault(method, []).append(values)
    for name, methods in sorted(series.items()):
        with matplotlib.rc_context(drawing.SETTINGS):
            figure, axes = drawing.axes(name)
            for method in sorted(methods, key=places.__getitem__):
                low, middle, high = np.percentile(methods[method], QUARTILES, axis=0)
                share, colour = np.linspace(0, 1, len(middle)), drawing.colour(places[method])
                axes.fill_between(share, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(
                    share, middle, color=colour, marker=drawing.marker(places[method]), markevery=0.2, markersize=4
                )
            axes.set(xlabel="share of the counterfactual", ylabel=name)
            yield Plot(name, drawing.svg(figure, f"{name} by share of the counterfactual, by method"))


def _confusion(requested: pd.DataFrame, method: str, classes: Sequence[str]) -> Plot:
    part = requested[requested["method"] == method]
    goal = part["goal"].map(lambda text: goal_label(text, classes))
    columns = [name for name in classes if name in set(goal)] + sorted(set(goal) - set(classes))
    rows = [name for place, name in enumerate(classes) if place in set(part["prediction"])]
    cells = (
        part.assign(goal=goal, met=part["met"].fillna(False).astype(bool))
        .groupby(["prediction", "goal"])["met"]
        .agg(["sum", "count"])
    )
    with matplotlib.rc_context(drawing.SETTINGS):
        longest_goal, longest_source = (max(map(len, names), default=0) for names in (columns, rows))
        upright = longest_goal > LONG
        margins = 0.5 + LETTER * longest_source, 0.9 + LETTER * longest_goal * upright
        figure, axes = drawing.axes(
            _tick(method), (margins[0] + 0.5 * max(len(columns), 3), margins[1] + 0.34 * len(rows))
        )
        axes.grid(False)
        for (source, requested), (met, count) in zip(cells.index, cells.to_numpy(int), strict=True):
            corner = (columns.index(requested), rows.index(classes[int(source)]))
            axes.add_patch(Rectangle(corner, 1, 1, color=drawing.colour(0), alpha=0.6 * met / count, linewidth=0))
            axes.text(corner[0] + 0.5, corner[1] + 0.5, f"{met}/{count}", ha="center", va="center")
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
        if upright:
            axes.tick_params(axis="x", rotation=90)
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xlabel="goal", ylabel="source")
        return Plot(_tick(method), drawing.svg(figure, f"Goals met by {method}, by source and goal"))


def _reached(done: pd.DataFrame, places: Mapping[str, int]) -> Plot:
    title = "reached against requested"
    with matplotlib.rc_context(drawing.SETTINGS):
        figure, axes = drawing.axes(title)
        for method, place in places.items():
            part = done[done["method"] == method].head(DOTS)
            pairs = [
                (value, after[0])
                for text, after in zip(part["goal"], part["after"], strict=True)
                if (value := goals.goal_value(goals.parse(text))) is not None
            ]
            requested, reached = np.array(pairs).reshape(-1, 2).T
            axes.scatter(
                requested, reached, 14, drawing.colour(place), marker=drawing.marker(place), linewidths=0, alpha=0.8
            )
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color="#000000", alpha=0.4, linewidth=1)
        axes.set(xlabel="requested", ylabel="reached")
        return Plot(title, drawing.svg(figure, "Predicted against requested values, by method"))
