"""Drawings of success against cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vcfe_bench.results.curves import Curve

READING = (
    "The share of the requested videos that are changed as requested with at most so many calls for a video. 1 call is "
    "a forward pass of the generator's velocity on one video, a backward pass counts 2."
)


def draw(axes: Axes, curves: Mapping[str, Curve], style: Callable[[str], Mapping[str, object]]) -> None:
    """Draw the curves of methods, each in the ``style`` of its name: keywords of ``Axes.step``."""
    positive = [calls for curve in curves.values() for calls in curve.calls.tolist() if calls > 0]
    low, high = (min(positive) / 2, max(positive) * 1.5) if positive else (0.5, 2.0)
    for method, curve in curves.items():
        calls = np.array([low, *curve.calls.clip(low), high])
        shares = np.array([0.0, *curve.shares, curve.at(np.inf)])
        axes.step(calls, shares, where="post", markevery=0.2, markersize=4, **style(method))  # type: ignore[arg-type]
    axes.set(xscale="log", xlim=(low, high), ylim=(-0.05, 1.05), xlabel="calls per video")


def figure(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """A figure with a panel for each title and one legend, for a page of its own."""
    methods = list(dict.fromkeys(method for curves in panels.values() for method in curves))
    colours = {method: f"C{place % 10}" for place, method in enumerate(methods)}
    drawing = Figure(figsize=(3.6 * len(panels), 3.2 + 0.18 * len(methods)), layout="constrained")
    for place, (title, curves) in enumerate(panels.items(), start=1):
        axes = drawing.add_subplot(1, len(panels), place, title=title)
        axes.grid(alpha=0.2)
        draw(axes, curves, lambda method: {"color": colours[method], "label": method})
    handles = {line.get_label(): line for axes in drawing.axes for line in axes.get_lines()}
    drawing.legend(handles.values(), [str(label) for label in handles], loc="outside lower center", frameon=False)
    return drawing
