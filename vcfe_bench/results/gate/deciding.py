"""Which metrics decide whether a run is worse than a baseline; all others inform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.runs.records import ScoredCard

DEFAULT = ("FR", "semantic_FR", "valid_share", "SSIM", "LPIPS", "FVD")
"""Names of metrics, or their names before the bracket: of several, such as ``LPIPS(alex)`` and ``LPIPS(st-alex)``, the
first in the alphabet decides."""


def able(cards: Iterable[ScoredCard]) -> list[ScoredCard]:
    """The metrics that may decide: those with a direction and values for single videos or sets of videos."""
    return [card for card in cards if card.level in ("sample", "set") and card.direction and not card.unavailable]


def default(cards: Iterable[ScoredCard]) -> tuple[str, ...]:
    """The metrics of ``DEFAULT`` that were computed, in that order; without any of them, all that may decide."""
    names = sorted(card.name for card in able(cards))
    families = ([name for name in names if name.partition("(")[0] == family] for family in DEFAULT)
    return tuple(family[0] for family in families if family) or tuple(names)


def checked(names: Sequence[str], cards: Iterable[ScoredCard]) -> tuple[str, ...]:
    """The names as they are.

    Raises:
        UsageError: there are none, one occurs twice, or is not that of a metric that may decide.
    """
    known = [card.name for card in able(cards)]
    for name in names:
        if name not in known:
            raise UsageError(f"'{name}' among the deciding metrics cannot decide; {nearest(name, known)}")
    if not names or len(set(names)) < len(names):
        raise UsageError(f"the deciding metrics have to be one or more different names, not {list(names)}")
    return tuple(names)
