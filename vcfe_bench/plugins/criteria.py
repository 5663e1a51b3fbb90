"""What metrics measure: the criteria of section 1 of the BTTF paper (arXiv 2511.20295), and cost."""

from __future__ import annotations

from typing import Literal, get_args

Criterion = Literal["validity", "proximity", "actionability", "realism", "spatiotemporal consistency", "cost"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
