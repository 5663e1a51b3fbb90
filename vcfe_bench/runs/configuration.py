"""What decides the outcome of a run, and the constants that every run shares."""

from __future__ import annotations

import hashlib
import json
from typing import Any

REFERENCES = ("true_edit", "reconstruction", "no_edit")
"""Methods that run beside any others: the ceiling and the floors that every row is read against."""


THREADS = 2
"""Torch threads per task. The last bits of a sum depend on how many threads share it, so the number is part of every
task's identity and does not follow the machine: the same task is the same on one core and on sixty-four. More cores are
used by running more tasks at once."""


NONE = "none"
"""As the name of a generator: do without."""


def short_hash(configuration: dict[str, Any]) -> str:
    """Eight hexadecimal digits that name a configuration."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:8]
