"""The account of a micro-batch: which calls of the networks were made for which query, and what they cost.

The unit is one forward pass of the generator's velocity on one video of the dataset (of the target, in a run without a
generator). Other calls are weighted by their floating-point operations. A backward pass counts as two forward passes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Network = Literal["velocity", "encode", "decode", "condition", "target"]
Price = Callable[[Network, tuple[int, ...] | None], float]
"""Price of a forward pass of a network on one row, given the shape of its input without the batch dimension.

For ``condition`` this is ``(T, H, W)``. None stands for the shape that belongs to a video of the dataset.
"""
BACKWARD = 2
"""Forward passes that a backward pass counts as."""


def equal_price(network: Network, row: tuple[int, ...] | None) -> float:
    """1 for every call."""
    return 1.0


@dataclass
class Account:
    """The calls for one query: their weighted sum, and the numbers of forward and backward passes by network."""

    calls: float = 0.0
    forwards: Counter[str] = field(default_factory=Counter)
    backwards: Counter[str] = field(default_factory=Counter)


class Calls:
    """The accounts of the queries of a micro-batch.

    Without ``queries``, nothing is counted and there is no budget: for uses of a method that are not about its cost.

    Args:
        queries: number of queries.
        price: price of a forward pass.
        budget: what may be spent on each query; infinite for no limit.
    """

    def __init__(self, queries: int = 0, price: Price = equal_price, budget: float = math.inf) -> None:
        self.accounts = tuple(Account() for _ in range(queries))
        self.budget = budget
        self._price = price
        self._rows: tuple[int | None, ...] | None = None
        self._open = 0

    def spent(self, row: int) -> float:
        """What the calls for the query ``row`` have cost so far; 0 if nothing is counted."""
        return self.accounts[row].calls if self.accounts else 0.0

    def left(self, row: int) -> float:
        """What is left of the budget of the query ``row``: infinite without a budget, negative once it is exceeded."""
        return self.budget - self.spent(row)

    def cost(
        self, network: Network, forwards: int = 1, backwards: int = 0, row: tuple[int, ...] | None = None
    ) -> float:
        """Price of calls of a network for one query, on a row of shape ``row``; by default of the dataset's videos."""
        return self._priced(network, row) * (forwards + BACKWARD * backwards)

    @contextmanager
    def rows(self, indices: Sequence[int | None]) -> Iterator[None]:
        """Inside the block, row i of every call is for the query ``indices[i]``; see ``Context.rows``.

        Raises:
            ValueError: an index is not that of a query.
        """
        queries = len(self.accounts)
        for index in indices:
            if queries and index is not None and not 0 <= index < queries:
                raise ValueError(f"rows() got {index}, but the batch has the queries 0 to {queries - 1}")
        before, self._rows = self._rows, tuple(indices)
        try:
            yield
        finally:
            self._rows = before

    @property
    def charging(self) -> bool:
        """Whether a call that has been charged is being computed."""
        return self._open > 0

    @contextmanager
    def charged(self, network: Network, rows: int, row: tuple[int, ...]) -> Iterator[Charge]:
        """A call of a network on ``rows`` rows of shape ``row``, which is computed inside the block.

        Raises:
            ValueError: it is not known which query each row is for.
        """
        payers = self._payers(network, rows)
        charge = Charge(network, self._priced(network, row), payers, self.accounts)
        charge.forward()
        self._open += 1
        try:
            yield charge
        finally:
            self._open -= 1

    @contextmanager
    def free(self) -> Iterator[None]:
        """A call that is made for no query in particular, which is computed inside the block."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _priced(self, network: Network, row: tuple[int, ...] | None) -> float:
        """The price of a forward pass, for which the network may have to be run once."""
        with self.free():
            return self._price(network, row)

    def _payers(self, network: Network, rows: int) -> tuple[int | None, ...]:
        payers = tuple(range(len(self.accounts))) if self._rows is None else self._rows
        if len(payers) != rows:
            known = "the batch has" if self._rows is None else "rows() names"
            raise ValueError(
                f"a call of '{network}' has {rows} rows, but {known} {len(payers)} queries: make it inside "
                "'with context.rows(indices)', which states the query of every row"
            )
        return payers


@dataclass(frozen=True)
class Charge:
    """A call of a network, charged to the query in ``payers`` row by row; rows with None are charged to nobody."""

    network: Network
    price: float
    payers: tuple[int | None, ...]
    accounts: tuple[Account, ...]

    def forward(self) -> None:
        """Charge a forward pass."""
        for account in self._paying():
            account.calls += self.price
            account.forwards[self.network] += 1

    def backward(self) -> None:
        """Charge a backward pass."""
        for account in self._paying():
            account.calls += BACKWARD * self.price
            account.backwards[self.network] += 1

    def returned(self, *outputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs ``[B, …]`` of the call: zero in rows that nobody pays for; backward passes are charged."""
        unpaid = [row for row, payer in enumerate(self.payers) if payer is None]
        if unpaid:
            outputs = tuple(o.index_fill(0, torch.tensor(unpaid, device=o.device), 0) for o in outputs)
        if torch.is_grad_enabled() and any(output.requires_grad for output in outputs):
            outputs = _Returned.apply(self, *outputs)
        return outputs

    def _paying(self) -> Iterator[Account]:
        return (self.accounts[payer] for payer in self.payers if payer is not None)


class _Returned(torch.autograd.Function):
    """The identity on the outputs of a call. Its backward pass, and that of its gradient, are charged."""

    @staticmethod
    def forward(ctx: Any, charge: Charge, *outputs: Tensor) -> tuple[Tensor, ...]:
        ctx.charge = charge
        return tuple(output.clone() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        ctx.charge.backward()
        return (None, *(_Returned.apply(ctx.charge, *gradients) if torch.is_grad_enabled() else gradients))
