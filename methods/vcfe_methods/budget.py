"""Checks of a method's next calls against the budget of a run."""

from __future__ import annotations

from collections.abc import Sequence

from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Calls


def affordable(calls: Calls, rows: Sequence[int], cost: float) -> bool:
    """Whether the budget of each query in ``rows`` has ``cost`` left."""
    return all(calls.left(row) >= cost for row in rows)


def require(calls: Calls, rows: Sequence[int], cost: float) -> None:
    """Check, before the first call for the queries ``rows``, that what these settings need at least is affordable.

    Raises:
        UsageError: the budget does not suffice.
    """
    if not affordable(calls, rows, cost):
        raise UsageError(
            f"these settings need at least {cost:.1f} calls for a video, and the budget has {calls.left(rows[0]):.1f}: "
            "choose lighter settings or a larger --budget"
        )
