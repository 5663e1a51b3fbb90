"""Folders of this package on the user's machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """Folder of downloads: ``$VCFE_BENCH_CACHE``, by default ``~/.cache/vcfe-bench``."""
    return Path(os.environ.get("VCFE_BENCH_CACHE") or Path.home() / ".cache" / "vcfe-bench")
