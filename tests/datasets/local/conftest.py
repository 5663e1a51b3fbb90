from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test, and no copy that the user may have."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(folder))
    monkeypatch.delenv("VCFE_DATA", raising=False)
    return folder
