"""What was seen and what was asked for, in the words of the dataset."""

from __future__ import annotations

from collections.abc import Sequence


def said(prediction: float, classes: Sequence[str]) -> str:
    """A class by its name, or a value with one digit."""
    return classes[int(prediction)] if classes else f"{prediction:.1f}"


def asked(goal: str, classes: Sequence[str]) -> str:
    """The text of a goal, shortened to the class or the value that it names."""
    kind, _, value = goal.partition("=")
    return said(int(value), classes) if kind == "class" else value
