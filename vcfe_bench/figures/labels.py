"""Predictions and goals as text for figures."""

from __future__ import annotations

from collections.abc import Sequence


def prediction_label(prediction: float, classes: Sequence[str]) -> str:
    """The name of a predicted class, or a predicted value with one decimal where there are no classes."""
    return classes[int(prediction)] if classes else f"{prediction:.1f}"


def goal_label(goal: str, classes: Sequence[str]) -> str:
    """The class or the value that a goal names."""
    kind, _, value = goal.partition("=")
    return prediction_label(int(value), classes) if kind == "class" else value
