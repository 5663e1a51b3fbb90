"""One error rate for a whole family of tests of which some matter more than others: Holm's weighted procedure.

Holm (Scand. J. Statist. 6, 1979) also gives the procedure with weights: the family-wise error rate stays below 5 %
whatever the weights are, as long as the results of the tests do not enter into them. The weights here depend on how
important a test is and on the smallest p value that it can reach. A permutation test is conditional on the sizes of
the differences, which determine that smallest value, so this does not look at its result (Tarone, Biometrics 46, 1990,
uses the same fact to leave out tests that cannot reject).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcfe_bench.stats.intervals import LEVEL

ERROR = 1 - LEVEL
"""Family-wise error rate."""


def weights(smallest: Sequence[float], ranks: Sequence[int]) -> np.ndarray:
    """Weights ``[n]`` of the tests of a family, with sum 1 (all 0 if no test can reject).

    ``smallest[i]`` is the smallest p that test i can reach, and ``ranks[i]`` its importance, 0 first. Every test that
    can reach an equal share of the error rate, shared with the tests of its rank and of those before it, is given what
    it needs to reject at all, the most important tests first. Of the rest, half goes to the tests of the first rank,
    half of what is left to those of the second, and so on.
    """
    order = sorted(range(len(ranks)), key=lambda i: (ranks[i], i))
    shares, left = np.zeros(len(ranks)), ERROR
    for i in order:
        before = sum(rank <= ranks[i] for rank in ranks)
        if smallest[i] <= ERROR / before and smallest[i] <= left:
            shares[i] = smallest[i]
            left -= smallest[i]
    able = sorted({ranks[i] for i in order if shares[i]})
    for rank in able:
        members = [i for i in order if ranks[i] == rank and shares[i]]
        part = left if rank == able[-1] else left / 2
        shares[members] += part / len(members)
        left -= part
    return shares / shares.sum() if able else shares


def weighted_holm(p_values: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """p values ``[n]`` adjusted by Holm's procedure with weights; 1 for tests of weight 0.

    >>> weighted_holm([0.01, 0.04, 0.03], np.array([0.5, 0.25, 0.25])).tolist()
    [0.02, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted, highest = np.ones(len(p)), 0.0
    order = sorted(np.flatnonzero(weights), key=lambda i: p[i] / weights[i])
    remaining = float(weights.sum())
    for i in order:
        highest = max(highest, p[i] / weights[i] * remaining)
        adjusted[i] = min(highest, 1.0)
        remaining -= weights[i]
    return adjusted
