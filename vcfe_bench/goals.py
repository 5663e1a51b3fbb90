"""Goals: what a counterfactual is asked to make the target say.

A goal reads the raw output of a target, so classification and regression share one path:
``loss`` drives every gradient method and ``met`` is the flip metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor


@runtime_checkable
class Goal(Protocol):
    """A wish about the output of a target. Goals compose: ``ClassGoal(2) & Confidence(2, 0.9)``."""

    def loss(self, output: Tensor) -> Tensor:
        """Differentiable loss per sample, ``[B]``, for raw outputs ``[B, K]`` (logits or values)."""

    def met(self, output: Tensor) -> Tensor:
        """Whether each raw output ``[B, K]`` fulfils the goal, as bool ``[B]``."""

    def __str__(self) -> str:
        """Canonical text, part of every record's identity."""


class _Composable:
    def __and__(self, other: Goal) -> Both:
        if isinstance(other, Both):
            return self & other.first & other.second
        return Both(self, other)  # type: ignore[arg-type]


def _text(value: float) -> str:
    """The shortest text that ``float`` reads back as ``value``."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class ClassGoal(_Composable):
    """The target's largest logit is that of class ``index``. The loss is the cross-entropy to it."""

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
    """The target's largest logit is *not* that of class ``index``: the goal of an untargeted attack."""

    index: int

    def loss(self, output: Tensor) -> Tensor:
        return -ClassGoal(self.index).loss(output)

    def met(self, output: Tensor) -> Tensor:
        return ~ClassGoal(self.index).met(output)

    def __str__(self) -> str:
        return f"avoid={self.index}"


@dataclass(frozen=True)
class Confidence(_Composable):
    """The target gives class ``index`` a softmax probability of at least ``minimum``, in (0, 1)."""

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
    """A regressor's value lies within ``tolerance`` of ``value``, both in the target's own unit."""

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
    """Two goals at once: losses add, both have to be met."""

    first: Goal
    second: Goal

    def loss(self, output: Tensor) -> Tensor:
        return self.first.loss(output) + self.second.loss(output)

    def met(self, output: Tensor) -> Tensor:
        return self.first.met(output) & self.second.met(output)

    def __str__(self) -> str:
        return f"{self.first}&{self.second}"


def losses(goals: list[Goal] | tuple[Goal, ...], output: Tensor) -> Tensor:
    """Loss of row ``i`` of ``output`` under ``goals[i]``, ``[B]``."""
    return torch.cat([goal.loss(row) for goal, row in zip(goals, output.split(1), strict=True)])


def goal_value(goal: Goal) -> float | None:
    """The value a goal asks for; None for goals about classes. Of two goals at once, the first that names a value."""
    match goal:
        case ValueGoal(value):
            return value
        case Both(first, second):
            wished = goal_value(first)
            return goal_value(second) if wished is None else wished
    return None


def parse(text: str) -> Goal:
    """The goal whose canonical text is ``text``.

    Raises:
        ValueError: not the text of a goal.
    """
    if "&" in text:
        first, _, second = text.rpartition("&")
        return Both(parse(first), parse(second))
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
