"""Goals: the output that a counterfactual should obtain from the target.

Goals are defined on the raw output of a target, so that classification and regression share one interface:
gradient-based methods minimise ``loss``, and ``met`` decides whether a counterfactual flips the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

MOST = 16
"""Number of goals that can be combined."""


@runtime_checkable
class Goal(Protocol):
    """A requirement on the output of a target. Goals combine with ``&``: ``ClassGoal(2) & Confidence(2, 0.9)``."""

    def loss(self, output: Tensor) -> Tensor:
        """Differentiable loss per sample, ``[B]``, for raw outputs ``[B, K]`` (logits or values)."""

    def met(self, output: Tensor) -> Tensor:
        """Whether each raw output ``[B, K]`` meets the goal, as bool ``[B]``."""

    def __str__(self) -> str:
        """Canonical text, from which ``parse`` restores the goal; part of every record's identity."""


class _Composable(Goal):
    """A goal that combines with others by ``&``; combinations nest to the left, however they are bracketed."""

    def __and__(self, other: Goal) -> Both:
        if isinstance(other, Both):
            return self & other.first & other.second
        return Both(self, other)


def _text(value: float) -> str:
    """The shortest text that ``float`` converts back to ``value``."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class ClassGoal(_Composable):
    """The target predicts class ``index``. The loss is the cross-entropy with this class."""

    index: int

    def loss(self, output: Tensor) -> Tensor:
        labels = torch.full((output.shape[0],), self.index, device=output.device)
        return F.cross_entropy(output, labels, reduction="none")

    def met(self, output: Tensor) -> Tensor:
        return output.argmax(dim=1) == self.index

    def __str__(self) -> str:
        return f"class={self.index}"


@dataclass(frozen=True)
class AvoidGoal(_Composable):
    """The target predicts any other class than ``index`` (untargeted). The loss is -log(1 - p) of its probability p.

    Its gradient has the direction of that of the negative cross-entropy, but does not vanish where p is close to 1.
    """

    index: int

    def loss(self, output: Tensor) -> Tensor:
        others = torch.arange(output.shape[1], device=output.device) != self.index
        return -output.log_softmax(dim=1)[:, others].logsumexp(dim=1)

    def met(self, output: Tensor) -> Tensor:
        return ~ClassGoal(self.index).met(output)

    def __str__(self) -> str:
        return f"avoid={self.index}"


@dataclass(frozen=True)
class Confidence(_Composable):
    """The softmax probability of class ``index`` is at least ``minimum``, in (0, 1). The loss is a hinge on its log."""

    index: int
    minimum: float

    def loss(self, output: Tensor) -> Tensor:
        return F.relu(math.log(self.minimum) - output.log_softmax(dim=1)[:, self.index])

    def met(self, output: Tensor) -> Tensor:
        return output.softmax(dim=1)[:, self.index] >= self.minimum

    def __str__(self) -> str:
        return f"confidence={self.index}:{_text(self.minimum)}"


@dataclass(frozen=True)
class ValueGoal(_Composable):
    """A regressor predicts a value within ``tolerance`` of ``value``, both in the target's unit.

    The loss is the squared deviation in units of the tolerance.
    """

    value: float
    tolerance: float

    def loss(self, output: Tensor) -> Tensor:
        return ((output[:, 0] - self.value) / self.tolerance) ** 2

    def met(self, output: Tensor) -> Tensor:
        return (output[:, 0] - self.value).abs() <= self.tolerance

    def __str__(self) -> str:
        return f"value={_text(self.value)}±{_text(self.tolerance)}"


@dataclass(frozen=True)
class Both(_Composable):
    """Two goals at once: the losses are added, and both goals have to be met."""

    first: Goal
    second: Goal

    def loss(self, output: Tensor) -> Tensor:
        return self.first.loss(output) + self.second.loss(output)

    def met(self, output: Tensor) -> Tensor:
        return self.first.met(output) & self.second.met(output)

    def __str__(self) -> str:
        return f"{self.first}&{self.second}"


def losses(goals: Sequence[Goal], output: Tensor) -> Tensor:
    """Losses ``[B]``: that of row ``i`` of ``output`` ``[B, K]`` under ``goals[i]``."""
    rows = output.unsqueeze(1).unbind()
    return torch.cat([goal.loss(row) for goal, row in zip(goals, rows, strict=True)])


def goal_value(goal: Goal) -> float | None:
    """The value that a goal requests, or None for goals about classes. Of combined goals, the first value counts."""
    match goal:
        case ValueGoal(value):
            return value
        case Both(first, second):
            requested = goal_value(first)
            return goal_value(second) if requested is None else requested
    return None


def parse(text: str) -> Goal:
    """The goal with the canonical text ``text``.

    Raises:
        ValueError: ``text`` is not the text of a goal.
    """
    pieces = text.split("&")
    if len(pieces) > MOST:
        raise ValueError(f"{len(pieces)} goals are combined, more than {MOST}")
    goal, *others = map(_parse, pieces)
    for other in others:
        goal = Both(goal, other)
    return goal


def _parse(text: str) -> Goal:
    """The goal with a text that combines none."""
    kind, _, rest = text.partition("=")
    if kind == "class":
        return ClassGoal(int(rest))
    if kind == "avoid":
        return AvoidGoal(int(rest))
    if kind == "confidence":
        index, _, minimum = rest.partition(":")
        return Confidence(int(index), float(minimum))
    if kind == "value":
        value, _, tolerance = rest.partition("±")
        return ValueGoal(float(value), float(tolerance))
    raise ValueError(f"'{text}' is not the text of a goal")


def obstacle(goal: Goal, outputs: int) -> str | None:
    """The reason why no output ``[outputs]`` of a target can be asked to meet a goal, or None.

    A target with one output is a regressor, one with several a classifier.
    """
    match goal:
        case ClassGoal(index) | AvoidGoal(index) | Confidence(index):
            if outputs == 1:
                return f"{goal} is about a class, and the target predicts a value"
            if not 0 <= index < outputs:
                return f"{goal} is about a class that the target does not have: it has 0 to {outputs - 1}"
            if isinstance(goal, Confidence) and not 0 < goal.minimum < 1:
                return f"{goal} requests a probability that is not between 0 and 1"
        case ValueGoal(value, tolerance):
            if outputs > 1:
                return f"{goal} is about a value, and the target predicts classes"
            if not math.isfinite(value) or not 0 < tolerance < math.inf:
                return f"{goal} does not request a finite value within a positive tolerance"
        case Both(first, second):
            return obstacle(first, outputs) or obstacle(second, outputs)
    return None
