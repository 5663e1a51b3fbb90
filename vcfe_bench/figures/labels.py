"""Predictions and goals as text for figures."""

from __future__ import annotations

from collections.abc import Sequence


def prediction_label(prediction: float, classes: Sequence[str]) -> str:
    """The name of a predicted class, or a predicted value with one decimal where there are no classes."""
    return classes[int(prediction)] if classes else f"{prediction:.1f}"


def goal_label(goal: str, classes: Sequence[str]) -> str:
    """The class or the value that a goal names.

    >>> goal_label("class=1", ["left", "right"]), goal_label("value=52.9±4.930000000000001", [])
    ('right', '52.9±4.93')
    """
    kind, _, text = goal.partition("=")
    if kind == "value" and "&" not in text:
        value, _, tolerance = text.partition("±")
        return f"{float(value):.6g}±{float(tolerance):.3g}"
    return prediction_label(int(text), classes) if kind == "class" and "&" not in text else text
