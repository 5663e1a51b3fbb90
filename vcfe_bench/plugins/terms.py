"""Terms that plug-ins, run directories and tables share; this module needs no torch, so that tables are read quickly.

The criteria are those of section 1 of the BTTF paper (arXiv 2511.20295), and cost.
"""

from __future__ import annotations

from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
"""Networks learn from ``train``; everything else is chosen on ``validation``; ``test`` is for final results only."""
SPLITS: tuple[Split, ...] = get_args(Split)
Criterion = Literal["validity", "proximity", "actionability", "realism", "spatiotemporal consistency", "cost"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
